use std::collections::BTreeMap;
use std::path::PathBuf;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::{build, parameters};
use crate::postgres::refused;

/// Returns the options of an address, in an environment with only these variables.
fn read(address: &str, variables: &[(&str, &str)]) -> Result<PgConnectOptions, String> {
    let variables: BTreeMap<_, _> = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let parameters = parameters(address, &|name| variables.get(name).cloned()).map_err(|error| error.to_string())?;
    build::options(&parameters).map_err(|error| error.to_string())
}

/// Returns the password for an address: the driver does not expose it.
fn password(address: &str, variables: &[(&str, &str)]) -> Option<String> {
    let variables: BTreeMap<_, _> = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let parameters = parameters(address, &|name| variables.get(name).cloned()).unwrap();
    parameters.get("password").map(str::to_owned)
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("trueup-address-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn every_form_that_libpq_takes_leads_to_the_same_place() {
    for (address, place) in [
        ("postgres://u@h:1/db", "h:1, database `db`"),
        ("postgresql://u@h/db", "h:5432, database `db`"),
        ("postgres://u@[::1]:5433/db", "[::1]:5433, database `db`"),
        ("postgres://u@[2001:db8::1]/db", "[2001:db8::1]:5432, database `db`"),
        ("postgres://u@/db?host=/sock", "/sock, database `db`"),
        ("postgres://u@%2Fsock:1/db", "/sock, database `db`"),
        ("postgres:///db?host=h&port=2&user=u", "h:2, database `db`"),
        ("postgres://h?dbname=db", "h:5432, database `db`"),
        ("postgres://u@h/d%20b", "h:5432, database `d b`"),
        ("postgres://u@h/d+b", "h:5432, database `d+b`"),
        ("postgres://x@h/db?hostaddr=10.0.0.1", "10.0.0.1:5432, database `db`"),
        ("host=h port=1 dbname=db user=u", "h:1, database `db`"),
        ("host = 'h' dbname='d b'", "h:5432, database `d b`"),
        (r"host=h dbname='it\'s'", "h:5432, database `it's`"),
        ("hostaddr=::1 dbname=db", "[::1]:5432, database `db`"),
        ("host=/sock dbname=db\n", "/sock, database `db`"),
    ] {
        let options = read(address, &[]).unwrap_or_else(|error| panic!("{address}: {error}"));
        assert_eq!(refused::place(&options), place, "{address}");
    }
}

#[test]
fn secrets_are_read_as_they_were_written() {
    for (address, expected) in [
        ("postgres://u:p%40ss%2Fw%23rd%3F@h/db", "p@ss/w#rd?"),
        ("postgres://u:a:b+c@h/db", "a:b+c"),
        ("postgres://h/db?user=u&password=p%26w", "p&w"),
        ("postgres://h/db?user=a@b&password=x", "x"),
        (r"host=h password='p w\'\\'", r"p w'\"),
        (r"host=h password=p\ w", "p w"),
    ] {
        assert_eq!(password(address, &[]).as_deref(), Some(expected), "{address}");
    }
    assert_eq!(read("postgres://a%40b@h/db", &[]).unwrap().get_username(), "a@b");
}

#[test]
fn a_mistake_is_named_for_what_it_is() {
    for (address, words) in [
        ("mysql://u@h/db", "not a postgres:// address"),
        ("", "not a postgres:// address"),
        ("postgres://u@h/db?sslmode=disabled", "`sslmode` of `DATABASE_URL` must be one of `disable`, `allow`"),
        ("postgres://u:p#w@h/db", "`#` as %23"),
        ("postgres://u:p/w@h/db", "`/` as %2F"),
        ("postgres://u:p@w@h/db", "`@` as %40"),
        ("postgres://u:p?w@h/db", "`?` as %3F"),
        ("postgres://u:p%w@h/db", "%25"),
        ("postgres://u@h:port/db", "`port` of `DATABASE_URL` is not a number from 1 to 65535"),
        ("postgres://u@h:99999/db", "is not a number from 1 to 65535"),
        ("host=h port=0", "is not a number from 1 to 65535"),
        ("postgres://u@h/db?sslmod=require", "unknown parameter `sslmod`; did you mean `sslmode`?"),
        ("host=h data=x", "unknown parameter `data`"),
        ("host=h dbname", "a word without `=`"),
        ("host=h dbname='x", "not closed"),
        ("postgres://u@h1:1,h2:2/db", "lists 2 hosts or ports, but trueup connects to one"),
        ("host=h1,h2,h3", "lists 3 hosts or ports"),
        ("postgres://u@::1/db", "written in brackets, [::1]"),
        ("postgres://u@[::1/db", "`[` without a `]`"),
        ("postgres://u@[::1]5432/db", "write [::1]:5432"),
        (
            "postgres://u@h/db?channel_binding=require",
            "`channel_binding` of `DATABASE_URL` must be one of `prefer`, `disable`",
        ),
        ("host=h target_session_attrs=standby", "must be one of `any`, `read-write`"),
        ("host=h sslcrl=/x", "omit it"),
        ("host=h hostaddr=name", "is not an IP address"),
        (
            "host=h sslmode=verify-full sslrootcert=/none",
            "`sslrootcert` of `DATABASE_URL` names a file that cannot be read",
        ),
        ("host=h sslmode=require sslrootcert=system", "needs `sslmode=verify-full`"),
        ("host=h sslcert=/none", "must be set together"),
        ("host=h connect_timeout=soon", "a number of seconds"),
        ("host=h options='-x y'", "does not consist of `-c name=value`"),
        ("postgres://u@h/%00", "NUL"),
    ] {
        let error = read(address, &[]).err().unwrap_or_else(|| panic!("{address} was taken"));
        assert!(error.contains(words), "{address}: {error}");
    }
    let error = read("host=h", &[("PGPORT", "x")]).unwrap_err();
    assert!(error.starts_with("`PGPORT` is not a number"), "{error}");
    let error = read("host=h", &[("PGSSLMODE", "on")]).unwrap_err();
    assert!(error.starts_with("`PGSSLMODE` must be one of"), "{error}");
}

#[test]
fn what_the_address_leaves_open_comes_from_the_service_and_then_from_the_environment() {
    let folder = Folder::new();
    let file = folder.write("services", "# ours\n[other]\nhost=no\n\n[mine]\nhost = from-service\nport=7\ndbname=x\n");
    let variables = [
        ("PGSERVICEFILE", file.as_str()),
        ("PGSERVICE", "mine"),
        ("PGHOST", "from-environment"),
        ("PGUSER", "me"),
        ("PGDATABASE", "y"),
        ("PGSSLMODE", "require"),
    ];
    let options = read("postgres:///z", &variables).unwrap();
    assert_eq!(refused::place(&options), "from-service:7, database `z`");
    assert_eq!(options.get_username(), "me");
    assert!(matches!(options.get_ssl_mode(), PgSslMode::Require));
    let options = read("postgres://", &variables[2..]).unwrap();
    assert_eq!(refused::place(&options), "from-environment:5432, database `y`");

    let error = read("service=none", &variables).unwrap_err();
    assert!(error.contains("is not defined in `") && error.contains("services"), "{error}");
    let wrong = folder.write("wrong", "[mine]\nhots=h\n");
    let error = read(&format!("service=mine servicefile={wrong}"), &[]).unwrap_err();
    assert!(error.starts_with("line 2 of the service file") && error.contains("unknown parameter"), "{error}");
}

#[test]
fn a_password_comes_from_the_password_file_where_none_is_given() {
    let folder = Folder::new();
    let file =
        folder.write("pass", "# a comment\nother:*:*:*:wrong\nh:5432:db:u:s\\:ec\\\\ret\n*:*:*:last:any\nbad line\n");
    let of = |address: &str| password(address, &[("PGPASSFILE", &file)]);
    assert_eq!(of("postgres://u@h/db").as_deref(), Some(r"s:ec\ret"));
    assert_eq!(of("postgres://last@h:1/db").as_deref(), Some("any"));
    assert_eq!(of("postgres://u:given@h/db").as_deref(), Some("given"));
    assert_eq!(of("postgres://u@h:1/db"), None);
}

#[test]
fn an_authority_that_is_given_is_used() {
    let folder = Folder::new();
    let file = folder.write("root.crt", "");
    let mode = |address: &str| read(address, &[]).unwrap().get_ssl_mode();
    assert!(matches!(mode(&format!("host=h sslmode=require sslrootcert={file}")), PgSslMode::VerifyCa));
    assert!(matches!(mode("host=h sslrootcert=system"), PgSslMode::VerifyFull));
    assert!(matches!(mode("host=h sslmode=require"), PgSslMode::Require));
    assert!(matches!(mode("host=h"), PgSslMode::Prefer));
}

/// Characters that split an address, and some that do not.
const PIECES: &[&str] = &[
    "@", "/", "#", "?", ":", "&", "=", "%", "%4", "%zz", "[", "]", "\\", "'", "\"", " ", "+", ",", ";", "$", "ä", "!",
    ".",
];

/// Returns a password made of words and pieces, and the words, which appear in no message by chance.
fn secret(seed: &mut u64) -> (String, Vec<String>) {
    let mut next = |below: usize| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) as usize % below
    };
    let mut words = Vec::new();
    let mut password = String::new();
    for _ in 0..=next(4) {
        let word = format!("q{}z", ["xk", "wvj", "jjq", "zxw"][next(4)].repeat(1 + next(2)));
        let word = if next(3) == 0 { word.to_uppercase() } else { word };
        password += &word;
        words.push(word);
        password += PIECES[next(PIECES.len())];
    }
    (password, words)
}

#[test]
fn no_part_of_a_password_is_shown_wherever_an_address_is_cut() {
    let mut seed = 7;
    let mut taken = 0;
    for _ in 0..20_000 {
        let (password, words) = secret(&mut seed);
        for address in [
            format!("postgres://u:{password}@h:5432/db"),
            format!("postgres://u:{password}@h:5432/db?sslmode=require"),
            format!("postgres://:{password}@/db"),
            format!("postgres://h/db?user=u&password={password}&port=1"),
            format!("postgres://h/db?password={password}"),
            format!("host=h password={password} dbname=db"),
            format!("password='{password}' host=h port=x"),
            format!("postgres:/u:{password}@h/db"),
            format!("postgress://u:{password}@h/db"),
        ] {
            let shown = match read(&address, &[]) {
                Ok(options) => {
                    taken += 1;
                    refused::place(&options)
                }
                Err(error) => error,
            };
            for word in &words {
                assert!(!shown.contains(word.as_str()), "{address}: {shown}");
            }
        }
    }
    assert!(taken > 10_000, "{taken} addresses were taken: the test tries too little");
}
