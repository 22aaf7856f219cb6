//! Service files: named groups of parameters, see "The Connection Service File" in the Postgres manual.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::Environment;
use super::parameters::{Origin, Parameters, find};

/// Sets missing parameters from the service that the address or the environment names.
pub(super) fn read(parameters: &mut Parameters, environment: Environment) -> Result<()> {
    let named = parameters.get("service").map(str::to_owned);
    let Some(name) = named.or_else(|| environment("PGSERVICE").filter(|name| !name.is_empty())) else { return Ok(()) };
    for path in files(parameters, environment) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => bail!("the service file `{}` cannot be read: {error}", path.display()),
        };
        if fill(&text, &name, &path, parameters)? {
            return Ok(());
        }
    }
    let looked = files(parameters, environment).iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>();
    bail!("the service that `PGSERVICE` or `service` names is not defined in {}", looked.join(" or "))
}

/// Returns the user's file, then the system's.
fn files(parameters: &Parameters, environment: Environment) -> Vec<PathBuf> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let own = parameters.get("servicefile").map(PathBuf::from).or_else(|| set("PGSERVICEFILE"));
    let own = own.or_else(|| Some(set("HOME")?.join(".pg_service.conf")));
    let system = set("PGSYSCONFDIR").unwrap_or_else(|| "/etc/postgresql-common".into()).join("pg_service.conf");
    own.into_iter().chain([system]).collect()
}

/// Reads the lines of one service. Returns true if the file defines it.
fn fill(text: &str, service: &str, path: &Path, parameters: &mut Parameters) -> Result<bool> {
    let mut is_inside = false;
    let mut is_defined = false;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            is_inside = !is_defined && name.strip_suffix(']') == Some(service);
            is_defined |= is_inside;
        } else if is_inside {
            let place = || format!("line {number} of the service file `{}`", path.display());
            let (name, value) = line.split_once('=').with_context(|| format!("{} is not name=value", place()))?;
            let known = find(name.trim()).filter(|known| !known.name.starts_with("service"));
            let known = known.with_context(|| format!("{} sets an unknown parameter", place()))?;
            parameters.offer(known, value.trim().to_owned(), Origin::Service);
        }
    }
    Ok(is_defined)
}
