//! The message as HTML. Everything that comes from data or a job file is escaped.

use std::fmt::Write as _;

use super::{MOST_NAMED, Notice, single_line};

impl Notice {
    /// The whole message as HTML with inline styles only: mail clients drop everything else.
    pub fn html(&self) -> String {
        let color = if self.kind == "resolved" { "#1a7f37" } else { "#b42318" };
        let mut html = format!(
            "<!doctype html><html><body style=\"margin:0;padding:16px;font:15px/1.45 system-ui,sans-serif;color:#1f2328\">\
             <p style=\"margin:0 0 4px;font-size:18px;font-weight:600;color:{color}\">{}</p><p style=\"margin:0 0 12px\">{}</p>",
            escape(&self.title()),
            escape(&self.summary())
        );
        if let Some(runbook) = self.rule.runbook.as_deref().filter(|link| is_web_link(link)) {
            let _infallible = write!(
                html,
                "<p style=\"margin:0 0 16px\"><a href=\"{0}\" style=\"background:#1f2328;color:#fff;padding:8px 14px;\
                 border-radius:6px;text-decoration:none;display:inline-block\">Open the runbook</a><br>\
                 <span style=\"font-size:12px;color:#59636e\">{0}</span></p>",
                escape(runbook)
            );
        }
        for alert in self.alerts.iter().take(MOST_NAMED) {
            let _infallible = write!(
                html,
                "<p style=\"margin:0;font-weight:600\">{}</p><table style=\"border-collapse:collapse;margin:2px 0 14px\">",
                escape(&alert.target())
            );
            for (name, value) in self.rows(alert) {
                let _infallible = write!(
                    html,
                    "<tr><td style=\"padding:1px 14px 1px 0;color:#59636e\">{}</td><td style=\"padding:1px 0\">{}</td></tr>",
                    escape(name),
                    escape(&value)
                );
            }
            html.push_str("</table>");
        }
        if self.alerts.len() > MOST_NAMED {
            let _infallible = write!(
                html,
                "<p>and {} more; all of them are in trueup.alert_history</p>",
                self.alerts.len() - MOST_NAMED
            );
        }
        if !self.changes.is_empty() {
            let lines: String =
                self.changes.iter().map(|change| format!("<br>{}", escape(&single_line(&change.line())))).collect();
            let _infallible = write!(html, "<p><b>Before it began:</b>{lines}</p>");
        }
        let _infallible = write!(
            html,
            "<p style=\"margin:0\">The numbers again:</p><pre style=\"background:#f6f8fa;padding:10px;white-space:pre-wrap\">{}</pre>\
             <p style=\"font-size:12px;color:#59636e\">{}</p></body></html>",
            escape(&self.query),
            escape(&self.footer())
        );
        html
    }
}

/// Whether a link may be clicked: http(s) and nothing else.
fn is_web_link(link: &str) -> bool {
    link.starts_with("https://") || link.starts_with("http://")
}

/// Text as HTML shows it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
