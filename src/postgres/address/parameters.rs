//! Connection parameters, by their libpq names.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::Environment;

/// Source of a value, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Address,
    Service,
    Environment,
}

/// Support for a parameter by trueup and the driver.
#[derive(Debug, Clone, Copy)]
pub(super) enum Support {
    /// Used.
    Used,
    /// Accepted without effect: it tunes something that trueup or the driver sets itself.
    Ignored,
    /// A requirement that the driver meets with these values only; any other is refused, not ignored.
    Only(&'static [&'static str]),
}

/// A parameter: its name, its environment variable and its support.
#[derive(Debug)]
pub(super) struct Known {
    pub name: &'static str,
    variable: &'static str,
    pub support: Support,
}

const fn known(name: &'static str, variable: &'static str, support: Support) -> Known {
    Known { name, variable, support }
}

use Support::{Ignored, Only, Used};

/// Every parameter of libpq 18. An empty variable name means that there is none.
pub(super) const KNOWN: &[Known] = &[
    known("host", "PGHOST", Used),
    known("hostaddr", "PGHOSTADDR", Used),
    known("port", "PGPORT", Used),
    known("dbname", "PGDATABASE", Used),
    known("user", "PGUSER", Used),
    known("password", "PGPASSWORD", Used),
    known("passfile", "PGPASSFILE", Used),
    known("service", "PGSERVICE", Used),
    known("servicefile", "PGSERVICEFILE", Used),
    known("options", "PGOPTIONS", Used),
    known("application_name", "PGAPPNAME", Used),
    known("fallback_application_name", "", Used),
    known("sslmode", "PGSSLMODE", Used),
    known("sslrootcert", "PGSSLROOTCERT", Used),
    known("sslcert", "PGSSLCERT", Used),
    known("sslkey", "PGSSLKEY", Used),
    known("connect_timeout", "PGCONNECT_TIMEOUT", Used),
    known("client_encoding", "PGCLIENTENCODING", Ignored),
    known("keepalives", "", Ignored),
    known("keepalives_idle", "", Ignored),
    known("keepalives_interval", "", Ignored),
    known("keepalives_count", "", Ignored),
    known("tcp_user_timeout", "", Ignored),
    known("krbsrvname", "PGKRBSRVNAME", Ignored),
    known("gsslib", "PGGSSLIB", Ignored),
    known("gssdelegation", "PGGSSDELEGATION", Ignored),
    known("sslcompression", "PGSSLCOMPRESSION", Ignored),
    known("sslsni", "PGSSLSNI", Ignored),
    known("load_balance_hosts", "PGLOADBALANCEHOSTS", Ignored),
    known("min_protocol_version", "PGMINPROTOCOLVERSION", Only(&["3.0"])),
    known("max_protocol_version", "PGMAXPROTOCOLVERSION", Ignored),
    // With one host there is no choice: a server that is not `read-write` fails at the first write.
    known("target_session_attrs", "PGTARGETSESSIONATTRS", Only(&["any", "read-write", "primary", "prefer-standby"])),
    known("channel_binding", "PGCHANNELBINDING", Only(&["prefer", "disable"])),
    known("gssencmode", "PGGSSENCMODE", Only(&["prefer", "disable"])),
    known("sslnegotiation", "PGSSLNEGOTIATION", Only(&["postgres"])),
    known("sslcertmode", "PGSSLCERTMODE", Only(&["allow"])),
    known("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Only(&["TLSv1", "TLSv1.1", "TLSv1.2"])),
    known("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Only(&["TLSv1.3"])),
    known("replication", "", Only(&["false", "off", "no", "0"])),
    known("requiressl", "PGREQUIRESSL", Only(&["0"])),
    known("require_auth", "PGREQUIREAUTH", Only(&[])),
    known("requirepeer", "PGREQUIREPEER", Only(&[])),
    known("sslcrl", "PGSSLCRL", Only(&[])),
    known("sslcrldir", "PGSSLCRLDIR", Only(&[])),
    known("sslpassword", "", Only(&[])),
    known("sslkeylogfile", "", Only(&[])),
    known("scram_client_key", "", Only(&[])),
    known("scram_server_key", "", Only(&[])),
    known("oauth_issuer", "", Only(&[])),
    known("oauth_client_id", "", Only(&[])),
    known("oauth_client_secret", "", Only(&[])),
    known("oauth_scope", "", Only(&[])),
];

/// Looks up a parameter by name.
pub(super) fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// Values by name, each with its source. The first source that names a parameter wins.
#[derive(Default)]
pub(super) struct Parameters(BTreeMap<&'static str, (String, Origin)>);

impl Parameters {
    /// Sets a parameter that no earlier source has set. An empty value counts as set: it requests the default.
    pub fn offer(&mut self, known: &'static Known, value: String, origin: Origin) {
        self.0.entry(known.name).or_insert((value, origin));
    }

    /// Sets a parameter that is unset or empty.
    pub fn set_empty(&mut self, known: &'static Known, value: String, origin: Origin) {
        if self.get(known.name).is_none() {
            self.0.insert(known.name, (value, origin));
        }
    }

    /// Sets a parameter of the address. If it is given twice, the last one wins, as in libpq.
    pub fn set(&mut self, known: &'static Known, value: String) -> Result<()> {
        if value.contains('\0') {
            bail!("`DATABASE_URL` has a NUL character in `{}`", known.name);
        }
        self.0.insert(known.name, (value, Origin::Address));
        Ok(())
    }

    /// Sets missing parameters from the environment.
    pub fn fill(&mut self, origin: Origin, environment: Environment) {
        for known in KNOWN.iter().filter(|known| !known.variable.is_empty()) {
            if let Some(value) = environment(known.variable) {
                self.offer(known, value, origin);
            }
        }
    }

    /// Returns a value; `None` if it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|(value, _)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns a parameter's name for messages: the setting that the user has to change.
    pub fn place(&self, known: &Known) -> String {
        match self.0.get(known.name) {
            Some((_, Origin::Environment)) => format!("`{}`", known.variable),
            Some((_, Origin::Service)) => format!("`{}` of the service file", known.name),
            _ => format!("`{}` of `DATABASE_URL`", known.name),
        }
    }

    /// Like [`Self::place`], by name.
    pub fn place_of(&self, name: &str) -> String {
        find(name).map_or_else(|| format!("`{name}`"), |known| self.place(known))
    }
}
