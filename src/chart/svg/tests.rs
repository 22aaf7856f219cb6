use super::*;
use crate::chart::samples;

#[test]
fn dump() {
    let size = Size { unit: " MW".into(), label: "RMSE of ro-load".into(), ..Size::default() };
    for n in [12, 96, 600, 3000] {
        let page = series(&samples::series(n), &size);
        println!("{n} {}", page.as_str().len());
        std::fs::write(format!("/tmp/chart/s{n}.svg"), standalone(&samples::series(n), &size).as_str()).unwrap();
        std::fs::write(format!("/tmp/chart/p{n}.svg"), page.as_str()).unwrap();
    }
}
