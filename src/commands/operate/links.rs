//! `links`: addresses for readers that cannot sign in.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{Global, Output};
use crate::commands::output::{self, Table};
use crate::commands::shared::jobs;
use crate::commands::user_error;
use crate::web::api::signed;

pub(in crate::commands) fn run(global: &Global, job: &str) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let Some(web) = settings.web else {
        return Err(user_error("there is no [web] section in the settings, so there are no pages to link to"));
    };
    let token = web.token().map_err(user_error)?;
    if web.links.is_none() {
        output::note("`base_url` of [web] is not set: the addresses begin after the host");
    }
    let mut table = Table::new(&["for", "address"]);
    for link in signed::links(token.as_ref(), &web.links.unwrap_or_default(), job) {
        table.push(vec![link.name.into(), link.address.into()]);
    }
    // A narrow terminal must not break addresses: one a line.
    output::print_table(&table, if global.output == Output::Table { Output::Csv } else { global.output })?;
    Ok(ExitCode::SUCCESS)
}
