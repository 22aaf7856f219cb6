//! Boards against the types that Grafana publishes: of TypeScript, and of its SDK for Python.

use std::path::Path;
use std::process::Command;

use super::board::{BOARDS, folder};
use crate::support::peers;
use crate::support::program::Folder;

const TYPES: &str = include_str!("../fixtures/grafana.ts");
const ROUND_TRIP: &str = include_str!("../fixtures/grafana.py");

fn file(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.json"))).expect("a board")
}

/// Complaints of the compiler about boards, each a name and its text.
fn compile(modules: &Path, boards: &[(&str, String)]) -> String {
    let work = Folder::new("boards");
    let mut source = TYPES.to_owned();
    for (name, json) in boards {
        source += &format!("\nexport const {} = {} satisfies AnyBoard;\n", name.replace('-', "_"), json.trim_end());
    }
    work.write("boards.ts", &source);
    std::os::unix::fs::symlink(modules, work.0.join("node_modules")).expect("a link");
    let options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext"];
    let said = Command::new("node")
        .current_dir(&work.0)
        .arg(modules.join("typescript/bin/tsc"))
        .args(options)
        .args(["--moduleResolution", "bundler", "boards.ts"])
        .output()
        .expect("node");
    String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr)
}

#[test]
fn boards_satisfy_the_types_of_grafana() {
    let (Some(modules), Some(_), Some(_)) =
        (peers::npm_with("@grafana/schema"), peers::npm_with("typescript"), peers::find(&["node"]))
    else {
        return;
    };
    let boards = BOARDS.map(|name| (name, file(name)));
    assert_eq!(compile(&modules, &boards), "");
    // The types would let nothing through.
    let change = |from: &str, to: &str| {
        let changed = file("trueup-job").replacen(from, to, 1);
        assert_ne!(changed, file("trueup-job"), "`{from}` is not in the board");
        compile(&modules, &[("trueup-job", changed)])
    };
    for (from, to, complaint) in [
        ("\"showValue\": \"never\"", "\"showValue\": \"seldom\"", "showValue"),
        ("\"rowHeight\":", "\"rowHeigth\":", "rowHeigth"),
        ("\"spanNulls\": false", "\"spanNulls\": \"no\"", "spanNulls"),
        ("\"schemaVersion\": 39", "\"schemaVersion\": \"39\"", "not assignable to type 'number'"),
        ("\"rawSql\":", "\"rawSQL\":", "rawS"),
        ("\"hide\": 0", "\"hide\": 9", "VariableHide"),
    ] {
        let said = change(from, to);
        assert!(said.contains("error TS") && said.contains(complaint), "{from} to {to}: {said}");
    }
}

/// The query of an annotation belongs to the data source: the SDK has no type for it.
const NO_TYPE: [&str; 5] = ["editorMode", "format", "rawQuery", "rawSql", "refId"];

#[test]
fn boards_survive_the_types_of_the_sdk() {
    let Some(python) = peers::python_with("grafana_foundation_sdk") else { return };
    let work = Folder::new("sdk");
    let lost = |names: &[&str]| -> Vec<String> {
        let files = names.iter().map(|name| work.0.join(format!("{name}.json")));
        let said = Command::new(&python).args(["-c", ROUND_TRIP]).args(files).output().expect("Python");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let lines = String::from_utf8(said.stdout).unwrap();
        let is_known = |line: &str| NO_TYPE.iter().any(|key| line == format!("/annotations/list/target/{key}"));
        lines.lines().filter(|line| !is_known(line)).map(str::to_owned).collect()
    };
    for name in BOARDS {
        work.write(&format!("{name}.json"), &file(name));
    }
    assert_eq!(lost(&BOARDS), Vec::<String>::new());
    // A key that it does not know is lost, and seen.
    work.write("bogus.json", &file("trueup-job").replacen("\"gridPos\":", "\"girdPos\":", 1));
    assert_eq!(lost(&["bogus"]), ["/panels/girdPos"]);
}
