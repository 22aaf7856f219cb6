//! `init --csv`: files as programs and people write them are read as what they mean, or refused with line, column and reason.

use chrono::{DateTime, Duration, Utc};

use crate::support::database::TestDatabase;
use crate::support::program::{Folder, Process, Run};

const ROWS: i64 = 200;

/// Every two hours from the first of May 2025: seventeen days, so that some days are no month.
fn at(n: i64) -> DateTime<Utc> {
    "2025-05-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + Duration::hours(2 * n)
}

fn predicted(n: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let value = 900.0 + (n * 37 % 400) as f64 + 0.5;
    value
}

/// How a file is written.
#[derive(Clone, Copy)]
struct Style {
    separator: &'static str,
    end: &'static str,
    before: &'static str,
    time: fn(DateTime<Utc>) -> String,
    number: fn(f64) -> String,
    header: &'static [&'static str],
}

const PLAIN: Style = Style {
    separator: ",",
    end: "\n",
    before: "",
    time: |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
    number: |value| value.to_string(),
    header: &["id", "at", "predicted"],
};

fn file(style: Style) -> String {
    let mut text = format!("{}{}{}", style.before, style.header.join(style.separator), style.end);
    for n in 0..ROWS {
        let quoted = |value: String| if value.contains(style.separator) { format!("\"{value}\"") } else { value };
        let values = [n.to_string(), quoted((style.time)(at(n))), quoted((style.number)(predicted(n)))];
        text += &(values.join(style.separator) + style.end);
    }
    text
}

fn labels() -> String {
    "id,actual\n".to_owned() + &(0..ROWS).map(|n| format!("{n},{}\n", predicted(n) + 3.0)).collect::<String>()
}

fn init(folder: &Folder, db: &TestDatabase, more: &[&str]) -> Run {
    let name = format!("j{}", uuid::Uuid::new_v4().simple());
    let base = ["init", "--csv", "p.csv", "l.csv", "--name", &name];
    Run::of(folder.trueup(&[&base, more].concat()).env("DATABASE_URL", db.url()).output().unwrap())
}

/// All of a table in one text.
async fn all_of(db: &TestDatabase) -> String {
    db.scalar("select string_agg(format('%s %s %s', id, extract(epoch from at)::bigint, predicted), ';' order by id) from csv.p").await
}

/// The same rows in every way of writing them are the same table.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_writing_a_file_is_the_same_table() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("csv-styles");
    folder.write("l.csv", &labels()).write("p.csv", &file(PLAIN));
    init(&folder, &db, &[]).ok();
    let expected = all_of(&db).await;
    assert!(expected.starts_with("0 1746057600 900.5;1 1746064800 937.5;"), "{expected}");
    let comma = |value: f64| value.to_string().replace('.', ",");
    let thousands = |value: f64| match value {
        value if value < 1000.0 => value.to_string(),
        value => format!("1,{:05.1}", value - 1000.0),
    };
    let german = |value: f64| match value {
        value if value < 1000.0 => value.to_string().replace('.', ","),
        value => format!("1.{:05.1}", value - 1000.0).replacen('.', "#", 1).replace('.', ",").replace('#', "."),
    };
    let french = |value: f64| match value {
        value if value < 1000.0 => value.to_string().replace('.', ","),
        value => format!("1\u{202f}{:05.1}", value - 1000.0).replace('.', ","),
    };
    let cases: Vec<(&str, Style)> = vec![
        ("semicolons", Style { separator: ";", ..PLAIN }),
        ("tabs", Style { separator: "\t", ..PLAIN }),
        ("bars", Style { separator: "|", ..PLAIN }),
        ("semicolons with a decimal comma", Style { separator: ";", number: comma, ..PLAIN }),
        ("a decimal comma in quotes", Style { number: comma, ..PLAIN }),
        (
            "Excel in Germany",
            Style {
                separator: ";",
                end: "\r\n",
                before: "\u{feff}",
                number: german,
                time: |at| at.format("%d.%m.%Y %H:%M").to_string(),
                ..PLAIN
            },
        ),
        (
            "Excel in France",
            Style {
                separator: ";",
                end: "\r\n",
                number: french,
                time: |at| at.format("%d/%m/%Y %H:%M:%S").to_string(),
                ..PLAIN
            },
        ),
        (
            "Excel in the US",
            Style {
                end: "\r\n",
                before: "\u{feff}",
                number: thousands,
                time: |at| at.format("%-m/%-d/%Y %-H:%M").to_string(),
                ..PLAIN
            },
        ),
        ("Excel with AM and PM", Style { time: |at| at.format("%-m/%-d/%Y %-I:%M %p").to_string(), ..PLAIN }),
        ("Excel's own line", Style { separator: ";", before: "sep=;\r\n", end: "\r\n", ..PLAIN }),
        ("old line ends", Style { end: "\r", ..PLAIN }),
        ("blank lines", Style { end: "\n\n", before: "\n", ..PLAIN }),
        ("empty rows of a sheet", Style { separator: ";", end: "\r\n;;\r\n", ..PLAIN }),
        ("pandas without a zone", Style { time: |at| at.format("%Y-%m-%d %H:%M:%S").to_string(), ..PLAIN }),
        (
            "pandas with a zone",
            Style { time: |at| (at + Duration::hours(2)).format("%Y-%m-%d %H:%M:%S+02:00").to_string(), ..PLAIN },
        ),
        ("BigQuery", Style { time: |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string(), ..PLAIN }),
        (
            "Postgres",
            Style { time: |at| at.format("%Y-%m-%d %H:%M:%S.000001+00").to_string().replace(".000001", ""), ..PLAIN },
        ),
        ("names of months", Style { time: |at| at.format("%d-%b-%Y %H:%M:%S").to_string(), ..PLAIN }),
        ("Unix seconds", Style { time: |at| at.timestamp().to_string(), ..PLAIN }),
        ("Unix milliseconds", Style { time: |at| at.timestamp_millis().to_string(), ..PLAIN }),
        ("Unix seconds of pandas", Style { time: |at| format!("{}.0", at.timestamp()), ..PLAIN }),
        ("exponents", Style { number: |value| format!("{:e}", value), ..PLAIN }),
    ];
    for (case, style) in cases {
        folder.write("p.csv", &file(style));
        let run = init(&folder, &db, &[]);
        assert_eq!(run.code, Some(0), "{case}: {}{}", run.stdout, run.stderr);
        assert_eq!(all_of(&db).await, expected, "{case}: {}", run.stderr);
        let said = [(";", "separated by `;`,"), ("\t", "separated by tabs,"), ("|", "separated by `|`,")];
        for (separator, words) in said {
            assert_eq!(run.stderr.contains(words), style.separator == separator, "{case}: {}", run.stderr);
        }
    }
}

/// What a reader cannot see from the table is said, once for each column.
#[tokio::test(flavor = "multi_thread")]
async fn how_values_were_read_is_said() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("csv-notes");
    folder.write("l.csv", &labels());
    let unix = Style { time: |at| at.timestamp_millis().to_string(), ..PLAIN };
    folder.write("p.csv", &file(unix));
    let run = init(&folder, &db, &[]).ok();
    assert!(run.stderr.contains("`at` of `p.csv` is read as Unix milliseconds"), "{}", run.stderr);
    folder.write("p.csv", &file(Style { time: |at| at.format("%-m/%-d/%Y %-H:%M").to_string(), ..PLAIN }));
    let run = init(&folder, &db, &[]).ok();
    assert!(run.stderr.contains("read as UTC (`at`, the month before the day)"), "{}", run.stderr);
    // Words for missing values, in numbers, times and texts.
    let words = ["NA", "N/A", "NaN", "nan", "null", "NULL", "None", "", "-", "#N/A"];
    let mut predictions = "id,at,predicted,region,made\n".to_owned();
    for n in 0..ROWS {
        let word = words[usize::try_from(n / 4).unwrap() % words.len()];
        let value = if n % 4 == 0 { word.to_owned() } else { predicted(n).to_string() };
        let region = if n % 40 == 0 { "null" } else { ["north", "south"][usize::try_from(n).unwrap() % 2] };
        predictions += &format!(
            "{n},{},{value},{region},{}\n",
            at(n).to_rfc3339(),
            if n == 7 { "NaT".to_owned() } else { at(n).to_rfc3339() }
        );
    }
    let labels: String = labels().lines().map(|line| line.replace(",903.5", ",NA") + "\n").collect();
    folder.write("p.csv", &predictions).write("l.csv", &labels);
    let run = init(&folder, &db, &[]).ok();
    for note in [
        "`predicted` of `p.csv`: 5 empty, 5 `#N/A`, 5 `-`, 5 `N/A`, 5 `NA`, 5 `NULL`, 5 `NaN`, 5 `None`, 5 `nan`, 5 `null` read as NULL",
        "`region` of `p.csv`: 5 `null` read as NULL",
        "`made` of `p.csv`: 1 `NaT` read as NULL",
    ] {
        assert_eq!(run.stderr.matches(note).count(), 1, "`{note}` is not in\n{}", run.stderr);
    }
    let nulls: Vec<i64> = vec![
        db.scalar("select count(*) from csv.p where predicted is null").await,
        db.scalar("select count(*) from csv.p where region is null").await,
        db.scalar("select count(*) from csv.p where region in ('north', 'south')").await,
    ];
    assert_eq!(nulls, [50, 5, 195]);
    assert_eq!(db.scalar::<String>("select pg_typeof(actual)::text from csv.l limit 1").await, "double precision");
    // A number among words is no number: its line is said, and nobody is asked to guess.
    folder.write("p.csv", &file(PLAIN).replace(&format!(",{}\n", predicted(9)), ",about 5\n"));
    let run = init(&folder, &db, &[]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    for words in
        ["`predicted` of `p.csv` is text: `about 5` in line 11 is not a number", "`csv.p` has no numeric column"]
    {
        assert!(run.stderr.contains(words), "`{words}` is not in\n{}", run.stderr);
    }
}

/// pandas writes the index as a first column without a name: row numbers are left out, a real one is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_column_without_a_name_is_an_index() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("csv-index");
    folder.write("l.csv", &labels());
    let columns = "select string_agg(attname || ' ' || atttypid::regtype, ', ' order by attnum) from pg_attribute where attrelid = 'csv.p'::regclass and attnum > 0";
    let plain = "id bigint, at timestamp with time zone, predicted double precision";
    let numbered = |first: &str, number: fn(i64) -> String| {
        let lines = file(PLAIN);
        let rows = lines
            .lines()
            .skip(1)
            .enumerate()
            .map(|(n, line)| format!("{},{line}\n", number(i64::try_from(n).unwrap())));
        format!("{first},id,at,predicted\n") + &rows.collect::<String>()
    };
    for (case, text, said, expected) in [
        ("pandas", numbered("", |n| n.to_string()), "has no name and counts the rows: it is dropped", plain.to_owned()),
        ("from one", numbered("", |n| (n + 1).to_string()), "it is dropped", plain.to_owned()),
        ("pandas twice", numbered("Unnamed: 0", |n| n.to_string()), "it is dropped", plain.to_owned()),
        ("quoted", numbered("\"\"", |n| format!("\"{n}\"")), "it is dropped", plain.to_owned()),
        (
            "words",
            numbered("", |n| format!("r{n}")),
            "has no name: it is named `index`",
            format!("index text, {plain}"),
        ),
        (
            "shuffled",
            numbered("", |n| (n * 7 % ROWS).to_string()),
            "it is named `index`",
            format!("index bigint, {plain}"),
        ),
    ] {
        folder.write("p.csv", &text);
        let run = init(&folder, &db, &[]).ok();
        assert!(run.stderr.contains(said), "{case}: {}", run.stderr);
        assert_eq!(db.scalar::<String>(columns).await, expected, "{case}");
    }
    // A time is an index as well, and the key where there is no other.
    let of_time = |column: &str, more: f64| {
        let rows = (0..ROWS).map(|n| format!("{},{}\n", at(n).format("%Y-%m-%d %H:%M:%S"), predicted(n) + more));
        format!(",{column}\n") + &rows.collect::<String>()
    };
    folder.write("p.csv", &of_time("prediction", 0.0)).write("l.csv", &of_time("actual", 2.0));
    let refused = init(&folder, &db, &[]);
    assert!(refused.code == Some(1) && refused.stderr.contains("set it with `--id"), "{}", refused.stderr);
    init(&folder, &db, &["--id", "index"]).ok();
    // A separator at the end of each line.
    folder.write("p.csv", &file(PLAIN).replace('\n', ",\n")).write("l.csv", &labels());
    init(&folder, &db, &[]).ok();
    assert_eq!(db.scalar::<String>(columns).await, plain);
}

/// What can be read in two ways is refused where no other value decides.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_read_in_two_ways_is_refused_with_its_place() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("csv-doubt");
    folder.write("l.csv", &labels());
    let few = |header: &str, rows: &[&str]| format!("{header}\n{}\n", rows.join("\n"));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "day or month",
            few("id,at,predicted", &["1,5/1/2025 0:00,1.5", "2,5/2/2025 0:00,2.5"]).into(),
            "`p.csv`, line 2, column 2: `5/1/2025 0:00` may have the day or the month first, and no row of `at` decides",
        ),
        (
            "day or month with points",
            few("id;at;predicted", &["1;01.05.2025 00:00;1,5", "2;02.05.2025 00:00;2,5"]).into(),
            "`p.csv`, line 2, column 2: `01.05.2025 00:00` may have",
        ),
        (
            "day and month",
            few("id,at,predicted", &["1,25/5/2025 0:00,1", "2,5/26/2025 0:00,2"]).into(),
            "`p.csv`, line 3, column 2: `5/26/2025 0:00` has the month first, but `25/5/2025 0:00` in line 2 the day",
        ),
        (
            "thousands or decimals",
            few("id;at;predicted", &["1;2025-05-01;1,234", "2;2025-05-02;2,345"]).into(),
            "`p.csv`, line 2, column 3: `1,234` may have decimals or thousands after its comma",
        ),
        (
            "thousands or decimals behind a point",
            few("id;at;predicted", &["1;2025-05-01;1.234", "2;2025-05-02;12.345"]).into(),
            "`p.csv`, line 2, column 3: `1.234` may have decimals or thousands after its point",
        ),
        (
            "two decimal signs",
            few("id;at;predicted", &["1;2025-05-01;1,5", "2;2025-05-02;2.5"]).into(),
            "`p.csv`, line 2, column 3: `1,5` has a decimal comma, but `2.5` in line 3 a decimal point",
        ),
        (
            "a name twice",
            few("id;at;predicted;at", &["1;2025-05-01;1;2"]).into(),
            "`p.csv`, line 1, column 4: its name `at` is also that of column 2: rename",
        ),
        (
            "a second column without a name",
            few("id,,predicted", &["1,2025-05-01,1"]).into(),
            "`p.csv`, line 1, column 2: a column name is empty",
        ),
        (
            "one column",
            few("id at predicted", &["1 2025-05-01 1"]).into(),
            "values must be separated by `,`, `;`, tabs or `|`",
        ),
        ("no header", few("1,2025-05-01,3.5", &["2,2025-05-02,4.5"]).into(), "`p.csv`, line 1: it looks like data"),
        (
            "a short row behind a value of two lines",
            b"id;t;v\n1;\"a\nb\";2\n\n3;4\n".to_vec(),
            "`p.csv`, line 5, column 3: it is not a CSV file: this line has 2 values, but line 1 names 3 columns",
        ),
        (
            "Latin-1 behind a value of two lines",
            b"id,t,v\n1,\"a\nb\",2\n2,\"c\nd\xe9\",3\n".to_vec(),
            "`p.csv`, line 5, column 2: it is not UTF-8",
        ),
        (
            "UTF-16",
            [vec![0xff, 0xfe], "id,at\n".encode_utf16().flat_map(u16::to_le_bytes).collect()].concat(),
            "`p.csv`, line 1: it is not UTF-8 but UTF-16",
        ),
        ("gzip", vec![0x1f, 0x8b, 8, 0], "it is not a CSV file but a gzip archive"),
        ("a sheet of Excel", b"PK\x03\x04abc".to_vec(), "it is not a CSV file but an archive"),
        (
            "too large behind blank lines",
            b"id,v\r\n\r\n1,1.5\r\n\r\n2,1e400\r\n".to_vec(),
            "`p.csv`, line 5, column 2: `1e400` is outside the range",
        ),
        (
            "open quotes with semicolons",
            b"id;v\n1;\"2\n3;4\n".to_vec(),
            "`p.csv`, line 2, column 2: the quote that opens here is never closed",
        ),
    ];
    for (case, bytes, words) in cases {
        std::fs::write(folder.0.join("p.csv"), bytes).unwrap();
        let run = init(&folder, &db, &[]);
        assert_eq!(run.code, Some(1), "{case}: {}{}", run.stdout, run.stderr);
        assert!(run.stderr.contains(words), "{case}: {}", run.stderr);
    }
    // Another column of the file decides; where another time serves, the unclear one is text.
    let rows = |value: fn(i64) -> String| {
        "id;at;predicted;cost;seen\n".to_owned()
            + &(0..ROWS).map(|n| format!("{n};{};{}\n", at(n).to_rfc3339(), value(n))).collect::<String>()
    };
    folder.write("p.csv", &rows(|n| format!("1,{:03};{},5;5/{}/2025", n, n, 1 + n % 9)));
    let run = init(&folder, &db, &[]).ok();
    assert_eq!(db.scalar::<f64>("select predicted from csv.p where id = 7").await, 1.007);
    assert!(run.stderr.contains("`seen` of `p.csv` is read as text (line 2: `5/1/2025` may have"), "{}", run.stderr);
    folder.write("p.csv", &rows(|n| format!("1.{:03};{},5;5/{}/2025", n, n, 1 + n % 9)));
    let run = init(&folder, &db, &[]).ok();
    assert_eq!(db.scalar::<f64>("select predicted from csv.p where id = 7").await, 1007.0);
    assert!(
        run.stderr.contains("`predicted` of `p.csv` has points as thousands separators, as in `1.000`"),
        "{}",
        run.stderr
    );
    folder.write("p.csv", &rows(|n| format!("1,{:03};{}.5;5/{}/2025", n, n, 1 + n % 29)));
    let run = init(&folder, &db, &[]).ok();
    assert_eq!(db.scalar::<f64>("select predicted from csv.p where id = 7").await, 1007.0);
    assert!(
        run.stderr.contains("`predicted` of `p.csv` has commas as thousands separators, as in `1,000`"),
        "{}",
        run.stderr
    );
}

/// Values keep what they hold: line breaks and quotes in texts, digits of keys, codes with zeros.
#[tokio::test(flavor = "multi_thread")]
async fn texts_and_keys_keep_what_they_hold() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("csv-texts");
    let text =
        |n: i64| ["a \"quoted\"\nword", "tab\tand \\N back\\slash", "ö, ß; | 日本"][usize::try_from(n).unwrap() % 3];
    let (mut predictions, mut labels) =
        ("key,at,predicted,text,model_version\r\n".to_owned(), "key,actual\r\n".to_owned());
    for n in 0..ROWS {
        let quoted = text(n).replace('"', "\"\"");
        predictions += &format!(
            "{},{},{},\"{quoted}\",2025-05-01\r\n",
            9_007_199_254_740_993_000_i128 * 10 + i128::from(n),
            at(n).to_rfc3339(),
            predicted(n)
        );
        labels += &format!("{},{}\r\n", 9_007_199_254_740_993_000_i128 * 10 + i128::from(n), predicted(n));
    }
    folder.write("p.csv", &predictions).write("l.csv", &labels);
    let run = init(&folder, &db, &[]).ok();
    assert!(
        run.stderr.contains("100 % of 200 predictions have a label") && run.stderr.contains("version `model_version`"),
        "{}",
        run.stderr
    );
    for n in 0..3 {
        let sql = format!("select text from csv.p where predicted = {} limit 1", predicted(n));
        assert_eq!(db.scalar::<String>(&sql).await, text(n));
    }
    // A key is the same where one file has it as `17` and the other as `17.0`, or as a word somewhere.
    for (case, key) in [
        ("floats", (|n| format!("{n}.0")) as fn(i64) -> String),
        ("a word", |n| if n == 5 { "five".to_owned() } else { n.to_string() }),
    ] {
        let labels = (0..ROWS).map(|n| format!("{},{}\n", key(n), predicted(n)));
        folder.write("p.csv", &file(PLAIN)).write("l.csv", &("id,actual\n".to_owned() + &labels.collect::<String>()));
        let run = init(&folder, &db, &[]).ok();
        assert!(run.stderr.contains("% of 200 predictions have a label"), "{case}: {}", run.stderr);
        let matched: i64 = db.scalar("select count(*) from csv.p join csv.l using (id)").await;
        assert_eq!(matched, if case == "floats" { 200 } else { 199 }, "{case}");
    }
}

/// The tables have the indexes that `check` asks for.
#[tokio::test(flavor = "multi_thread")]
async fn check_misses_no_index_on_tables_from_files() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("csv-indexes");
    let with_time = |text: String, name: &str| {
        let rows = text
            .lines()
            .skip(1)
            .enumerate()
            .map(|(n, line)| format!("{line},{}\n", at(i64::try_from(n).unwrap()).to_rfc3339()))
            .collect::<String>();
        format!("{},{name}\n", text.lines().next().unwrap()) + &rows
    };
    for (case, predictions, labels) in [
        ("without arrivals", file(PLAIN), labels()),
        ("with arrivals", with_time(file(PLAIN), "made"), with_time(labels(), "known")),
    ] {
        folder.write("p.csv", &predictions).write("l.csv", &labels);
        init(&folder, &db, &[]).ok();
        let checked = Run::of(folder.trueup(&["check"]).env("DATABASE_URL", db.url()).output().unwrap()).ok();
        let all = format!("{}{}", checked.stdout, checked.stderr);
        assert!(!all.contains("index"), "{case}: {all}");
        for job in std::fs::read_dir(folder.0.join("jobs")).unwrap() {
            let job = job.unwrap().path();
            let text = std::fs::read_to_string(&job).unwrap();
            assert_eq!(
                text.matches("\narrived_at = ").count(),
                if case == "with arrivals" { 2 } else { 0 },
                "{case}: {text}"
            );
            std::fs::remove_file(job).unwrap();
        }
    }
}

/// A large file passes through: what it takes of memory does not grow with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_never_in_memory() {
    use std::io::Write as _;
    let db = TestDatabase::new().await;
    let folder = Folder::new("csv-large");
    let mut out = std::io::BufWriter::new(std::fs::File::create(folder.0.join("p.csv")).unwrap());
    let filling = "x".repeat(900);
    out.write_all(b"id,at,predicted,note\n").unwrap();
    for n in 0..60_000_i64 {
        writeln!(out, "{n},{},{},{filling}", at(n % 5_000).to_rfc3339(), predicted(n)).unwrap();
    }
    out.flush().unwrap();
    let size = std::fs::metadata(folder.0.join("p.csv")).unwrap().len();
    assert!(size > 50_000_000, "{size}");
    folder.write("l.csv", &labels());
    let child = folder
        .trueup(&["init", "--csv", "p.csv", "l.csv", "--name", "large"])
        .env("DATABASE_URL", db.url())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let (mut peak, started) = (0_u64, std::time::Instant::now());
    let code = loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.0.id())).unwrap_or_default();
        let seen =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(seen.unwrap_or(0));
        if let Some(status) = process.0.try_wait().unwrap() {
            break status.code();
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    println!(
        "{} MB loaded in {:.1} s, at most {} MiB resident",
        size / 1_000_000,
        started.elapsed().as_secs_f64(),
        peak / 1024
    );
    assert_eq!(code, Some(0));
    assert!(peak > 0 && peak < 64 * 1024, "{peak} KiB for a file of {size} bytes");
    assert_eq!(db.scalar::<i64>("select count(*) from csv.p").await, 60_000);
}
