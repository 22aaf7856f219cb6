//! Renders the message as HTML. Everything that comes from data or a job file is escaped.

use std::fmt::Write as _;

use super::{Notice, Section};
use crate::text::line::{clipped, is_web_link, single_line};
use crate::text::number::number;
use crate::text::time::minute;

/// Content id of the inline chart.
pub const CHART: &str = "chart@trueup";
const GREY: &str = "#59636e";

impl Notice {
    /// Renders the whole message as HTML with inline styles only: mail clients drop all others. `with_chart`: a chart of the
    /// first rule's series is attached.
    pub fn html(&self, with_chart: bool) -> String {
        let color = match self.kind.as_str() {
            "resolved" => "#1a7f37",
            "test" | "acknowledged" | "heartbeat" => "#0550ae",
            _ => "#b42318",
        };
        let mut html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             </head><body style=\"margin:0;padding:16px;max-width:640px;font:15px/1.45 system-ui,sans-serif;color:#1f2328;\
             overflow-wrap:anywhere\"><p style=\"margin:0 0 4px;font-size:18px;font-weight:600;color:{color}\">{}</p>",
            escape(&clipped(&self.headline(), 300))
        );
        if let Some(why) = self.why() {
            let _infallible = write!(html, "<p style=\"margin:0 0 8px\">{}</p>", escape(&why));
        }
        for (place, section) in self.rules.iter().enumerate() {
            section.write_html(&mut html, self.rules.len() > 1, with_chart && place == 0);
        }
        let commands: String = self.commands().iter().map(|command| format!("{}\n", escape(command))).collect();
        if !commands.is_empty() {
            let _infallible = write!(
                html,
                "<p style=\"margin:0\">Details and acknowledgement:</p>\
                 <pre style=\"background:#f6f8fa;padding:10px;white-space:pre-wrap;margin:4px 0 12px\">{}</pre>",
                commands.trim_end()
            );
        }
        let _infallible =
            write!(html, "<p style=\"font-size:12px;color:{GREY}\">{}</p></body></html>", escape(&self.footer()));
        html
    }
}

impl Section {
    fn write_html(&self, html: &mut String, is_one_of_several: bool, with_chart: bool) {
        if is_one_of_several {
            let _infallible = write!(
                html,
                "<p style=\"margin:16px 0 4px;padding-top:10px;border-top:1px solid #d1d9e0;font-weight:600\">{} ({})</p>",
                escape(&self.rule.name),
                escape(&self.rule.severity)
            );
        }
        if let Some(runbook) = self.rule.runbook.as_deref().filter(|link| is_web_link(link)) {
            let _infallible = write!(
                html,
                "<p style=\"margin:8px 0 12px\"><a href=\"{0}\" style=\"background:#1f2328;color:#fff;padding:10px 16px;\
                 border-radius:6px;text-decoration:none;display:inline-block\">Open the runbook</a><br>\
                 <span style=\"font-size:12px;color:{GREY}\">{0}</span></p>",
                escape(runbook)
            );
        }
        let _infallible = write!(html, "<p style=\"margin:0 0 12px\">{}</p>", escape(&single_line(&self.summary())));
        if with_chart {
            self.chart(html);
        }
        let (named, more) = self.named();
        for alert in named {
            let _infallible = write!(
                html,
                "<p style=\"margin:0;font-weight:600\">{}</p><table role=\"presentation\" style=\"border-collapse:collapse;margin:2px 0 14px\">",
                escape(&single_line(&clipped(&alert.caption(), 200)))
            );
            for (name, value) in alert.rows() {
                let _infallible = write!(
                    html,
                    "<tr><td style=\"padding:1px 14px 1px 0;color:{GREY};vertical-align:top;white-space:nowrap\">{}</td><td style=\"padding:1px 0\">{}</td></tr>",
                    escape(name),
                    escape(&single_line(&value))
                );
            }
            html.push_str("</table>");
        }
        if more > 0 {
            let _infallible = write!(html, "<p>and {more} more; see trueup.alert_history</p>");
        }
        if !self.changes.is_empty() {
            let lines: String =
                self.changes.iter().map(|change| format!("<br>{}", escape(&single_line(&change.line())))).collect();
            let _infallible = write!(html, "<p><b>Changes before the alert:</b>{lines}</p>");
        }
        if !self.query.is_empty() {
            let _infallible = write!(
                html,
                "<p style=\"margin:0\">Reproduce:</p>\
                 <pre style=\"background:#f6f8fa;padding:10px;white-space:pre-wrap;margin:4px 0 12px\">{}</pre>",
                escape(&self.query)
            );
        }
    }

    /// The chart contains no words; they are in the alt text and below it, where everyone can read them.
    fn chart(&self, html: &mut String) {
        let values = || self.series.iter().filter_map(|point| point.value);
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let (Some(first), Some(last)) = (self.series.first(), self.series.last()) else { return };
        let Some(worst) = self.alerts.first() else { return };
        let limit = worst.limit.map_or(String::new(), |limit| format!(", limit {} (red)", number(limit)));
        let words = format!(
            "{} of {} for {}: {} to {}{}{limit}; {} to {}",
            self.rule.metric,
            self.rule.window,
            clipped(&worst.target(), 80),
            number(low),
            number(high),
            worst.unit,
            minute(first.window_end),
            minute(last.window_end)
        );
        let _infallible = write!(
            html,
            "<p style=\"margin:0 0 14px\"><img src=\"cid:{CHART}\" width=\"600\" alt=\"{0}\" style=\"width:100%;max-width:600px;height:auto\">\
             <br><span style=\"font-size:12px;color:{GREY}\">{0}</span></p>",
            escape(&single_line(&words))
        );
    }
}

/// Escapes text for HTML.
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
