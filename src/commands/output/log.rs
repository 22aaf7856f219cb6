//! The log: writes events as lines to stderr, with hidden characters of the data made visible.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::cli::LogFormat;
use crate::text::visible;

/// Logs go to stderr. `serve` logs what it does; other commands print their results and log only problems.
pub(in crate::commands) fn to_stderr(serving: Option<LogFormat>) {
    let default = if serving.is_some() { "info,tokio_cron_scheduler=warn" } else { "error" };
    let filter = EnvFilter::try_from_env("TRUEUP_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    match serving {
        Some(LogFormat::Json) => log.json().flatten_event(true).with_writer(|| JsonLines(io::stderr())).init(),
        Some(LogFormat::Text) | None => {
            log.with_writer(io::stderr).with_ansi(colours).fmt_fields(debug_fn(field).delimited(" ")).init();
        }
    }
}

/// Writes one field of an event: the message as it is, others with their name.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        let (name, dim) = if writer.has_ansi_escapes() { ("\u{1b}[3m", "\u{1b}[0m") } else { ("", "") };
        write!(writer, "{name}{}{dim}=", field.name())?;
    }
    writer.write_str(&visible::line(&format!("{value:?}")))
}

/// Takes whole lines of JSON.
struct JsonLines<W>(W);

impl<W: Write> Write for JsonLines<W> {
    /// An event is written in one piece, so no character is cut.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(visible::json(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
