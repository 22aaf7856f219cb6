//! Finds characters of a job file that the database cannot store.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::spec::{Diagnostic, Document};

/// Finds texts of a job, such as its description, with characters that the encoding of the database lacks.
pub(super) async fn unfit(connection: &mut PgConnection, document: &Document) -> sqlx::Result<Vec<Diagnostic>> {
    let encoding: String =
        sqlx::query_scalar("select current_setting('server_encoding')").fetch_one(&mut *connection).await?;
    // SQL_ASCII stores any bytes.
    if encoding == "UTF8" || encoding == "SQL_ASCII" {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    let mut known: BTreeMap<char, bool> = BTreeMap::new();
    for (path, text) in document.texts() {
        let mut lacking = Vec::new();
        for letter in text.chars().filter(|letter| !letter.is_ascii()) {
            let fits = match known.get(&letter) {
                Some(fits) => *fits,
                None => fits(connection, letter, &encoding).await?,
            };
            known.insert(letter, fits);
            if !fits && !lacking.contains(&letter) {
                lacking.push(letter);
            }
        }
        if !lacking.is_empty() {
            let letters: Vec<String> = lacking.iter().map(|letter| format!("`{letter}`")).collect();
            let message = format!("the encoding of the database is {encoding}, which lacks {}", letters.join(", "));
            let finding = Diagnostic::error("text-encoding", document.locate(&path), message);
            findings.push(finding.hint("use other letters, or keep the history in a UTF8 database"));
        }
    }
    Ok(findings)
}

async fn fits(connection: &mut PgConnection, letter: char, encoding: &str) -> sqlx::Result<bool> {
    let bytes = letter.to_string().into_bytes();
    let converted = sqlx::query("select convert($1::bytea, 'UTF8', $2::name)").bind(bytes).bind(encoding);
    match converted.fetch_one(connection).await {
        Ok(_) => Ok(true),
        Err(error) if error.as_database_error().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}
