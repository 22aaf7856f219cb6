//! Progress on stderr for anything that takes more than a moment. Nothing is drawn when stderr is not a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::text::visible;

/// A progress indicator, drawn until it is finished. Hidden characters in its message are made visible here.
pub(in crate::commands) struct Progress(ProgressBar);

/// A spinner with a message.
pub(in crate::commands) fn spinner(message: &str) -> Progress {
    let progress = Progress(ProgressBar::new_spinner());
    progress.say(message);
    progress.0.enable_steady_tick(Duration::from_millis(120));
    progress
}

/// A bar with counts, rate and remaining time.
pub(in crate::commands) fn bar(length: u64, what: &'static str) -> Progress {
    let template = format!("{{bar:30}} {{pos}}/{{len}} {what}  {{per_sec}}  {{eta}} left  {{msg}}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    Progress(ProgressBar::new(length).with_style(style))
}

/// A bar of bytes with a message.
pub(in crate::commands) fn bytes(length: u64, message: &str) -> Progress {
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let progress = Progress(ProgressBar::new(length).with_style(style));
    progress.say(message);
    progress
}

impl Progress {
    /// Sets the message.
    pub(in crate::commands) fn say(&self, message: &str) {
        self.0.set_message(visible::line(message));
    }

    /// Sets the position and the length.
    pub(in crate::commands) fn at(&self, done: u64, of: u64) {
        self.0.set_length(of);
        self.0.set_position(done);
    }

    /// Advances by one.
    pub(in crate::commands) fn step(&self) {
        self.0.inc(1);
    }

    /// Removes it from the screen.
    pub(in crate::commands) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
