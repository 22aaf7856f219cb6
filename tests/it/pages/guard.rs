//! Who may see the pages: host names, sign-in, proxies, parameters and sizes.

use reqwest::Method;

use super::site::Site;
use crate::support::database::TestDatabase;

const TOKEN: &str = "[web]\nlisten = \"127.0.0.1:PORT\"\ntoken = { env = \"TRUEUP_WEB_TOKEN\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_signs_in_and_a_cookie_keeps_the_user() {
    let db = TestDatabase::new().await;
    let site = Site::start(&db.url(), &["web"], TOKEN).await;
    let asked = site.get("/jobs/load?metric=rmse").await;
    assert_eq!(asked.status, 303);
    assert_eq!(asked.headers["location"], "/login?next=%2Fjobs%2Fload%3Fmetric%3Drmse");
    let sign_in = async |token: &str, next: &str| {
        let form = [("name", "Kim <b>"), ("token", token), ("next", next)];
        site.ask(Method::POST, "/login", &[], Some(&form)).await
    };
    let wrong = sign_in("wrong", "/").await;
    assert!(wrong.status == 401 && wrong.body.contains("The token is not right."), "{}", wrong.body);
    assert!(wrong.headers.get("set-cookie").is_none());
    let right = sign_in("s3cret", "//evil.example/").await;
    assert_eq!((right.status, right.headers["location"].to_str().unwrap()), (303, "/"));
    let cookie = right.headers["set-cookie"].to_str().unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap();
    let page = site.ask(Method::GET, "/", &[("cookie", cookie)], None).await;
    assert!(page.status == 200 && page.body.contains("Kim &#60;b&#62; · sign out"), "{}", page.body);
    assert_eq!(site.ask(Method::GET, "/", &[("cookie", &format!("{cookie}x"))], None).await.status, 303);
    let out = site.ask(Method::POST, "/logout", &[("cookie", cookie)], None).await;
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_proxy_may_name_users() {
    let db = TestDatabase::new().await;
    let settings = |from: &str| {
        format!("[web]\nlisten = \"127.0.0.1:PORT\"\nproxy = {{ from = [\"{from}\"], user = \"X-Forwarded-Email\" }}\n")
    };
    let header = [("x-forwarded-email", "kim@example.org")];
    let site = Site::start(&db.url(), &["web"], &settings("127.0.0.0/8")).await;
    assert_eq!(site.ask(Method::GET, "/", &header, None).await.status, 200);
    assert_eq!(site.get("/").await.status, 401, "no user");
    let site = Site::start(&db.url(), &["web"], &settings("192.0.2.0/24")).await;
    assert_eq!(site.ask(Method::GET, "/", &header, None).await.status, 403, "another address");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_from_elsewhere_are_refused() {
    let db = TestDatabase::new().await;
    let site = Site::pages(&db.url()).await;
    assert_eq!(site.ask(Method::GET, "/", &[("host", "evil.example")], None).await.status, 421);
    for origin in
        [&[("sec-fetch-site", "cross-site")][..], &[("origin", "https://evil.example")], &[("origin", "null")]]
    {
        let answer = site.ask(Method::POST, "/logout", origin, Some(&[])).await;
        assert_eq!(answer.status, 403, "{origin:?}");
    }
    let own = site.address("");
    assert_eq!(
        site.ask(Method::POST, "/logout", &[("origin", own.trim_end_matches('/'))], Some(&[])).await.status,
        303
    );
    let page = site.get("/").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers["referrer-policy"], "same-origin");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert!(page.headers.get("access-control-allow-origin").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_are_refused_with_a_hint() {
    let db = TestDatabase::new().await;
    let site = Site::pages(&db.url()).await;
    for (path, status, words) in [
        ("/?stat=firing", 400, "did you mean `state`?"),
        ("/?state=burning", 400, "it must be one of firing"),
        ("/?tz=Mars", 400, "`Mars` is not a time zone"),
        ("/?q=a&q=b", 400, "`q` is given twice"),
        ("/jobs/nothing", 404, "There is no job `nothing`"),
        ("/jobs/%3Cscript%3E", 404, "There is no job `&#60;script&#62;`"),
        ("/jobs/%27%3B%20drop%20table", 404, "There is no job"),
        ("/nowhere", 404, "There is no page"),
    ] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.contains(words), "{path}: {}", answer.body);
    }
    let large = "x".repeat(70_000);
    let answer = site.ask(Method::POST, "/login", &[], Some(&[("name", &large), ("token", "t")])).await;
    assert_eq!(answer.status, 413);
}
