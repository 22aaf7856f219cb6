//! Renders the message as HTML. Everything that comes from data or a job file is escaped.

use std::fmt::Write as _;

use super::table::{AlertTable, LONGEST_NAME};
use super::{AlertFacts, Notice, Page, Section};
use crate::text::line::{clipped, is_web_link, single_line};
use crate::text::number::number;
use crate::text::time::minute;

/// Content id of the inline chart.
pub const CHART: &str = "chart@trueup";
const GREY: &str = "#59636e";
/// Longest preview, in characters: phones show fewer.
const LONGEST_PREVIEW: usize = 140;
/// Widths of the columns of a table, in pixels: of names, and of numbers, which wrap where they are longer.
const NARROWEST_NAME: usize = 170;
const NARROWEST_COLUMN: usize = 62;
const WIDEST_COLUMN: usize = 150;

impl Notice {
    /// Renders the whole message as HTML with inline styles only: mail clients drop all others. `with_chart`: a chart of the
    /// first rule's series is attached.
    pub fn html(&self, with_chart: bool) -> String {
        let color = match self.kind.as_str() {
            "resolved" => "#1a7f37",
            "test" | "acknowledged" | "heartbeat" => "#0550ae",
            _ => "#b42318",
        };
        let mut html = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"></head>\
             <body style=\"margin:0;padding:16px;max-width:640px;font:15px/1.45 system-ui,sans-serif;color:#1f2328;\
             overflow-wrap:anywhere\">"
            .to_owned();
        let lead = self.lead();
        // Mail clients show the beginning of the text next to the subject, so it must not repeat the subject.
        let preview = escape(&clipped(&lead, LONGEST_PREVIEW));
        let _infallible = write!(
            html,
            "<p style=\"display:none;max-height:0;overflow:hidden\">{preview}</p>\
             <p style=\"margin:0 0 4px;font-size:18px;font-weight:600;color:{color}\">{}</p>\
             <p style=\"margin:0 0 8px\">{}</p>",
            escape(&clipped(&self.headline(), 300)),
            escape(&lead)
        );
        let mut pages = self.pages().into_iter();
        html.extend(pages.next().map(|page| button(&page)));
        let others: Vec<String> = pages.map(|page| link(&page)).collect();
        if !others.is_empty() {
            let _infallible = write!(html, "<p style=\"margin:0 0 12px\">{}</p>", others.join("<br>"));
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
            let _infallible = write!(html, "<p style=\"margin:0 0 8px\">{}</p>", escape(&single_line(&self.summary())));
        }
        if let Some(runbook) = self.rule.runbook.clone().filter(|link| is_web_link(link)) {
            html.push_str(&button(&Page { label: "Open the runbook".to_owned(), url: runbook }));
        }
        if with_chart {
            self.chart(html);
        }
        let (named, more) = self.named();
        match self.table() {
            Some(table) => table.write_html(html),
            None => named.iter().for_each(|alert| alert.write_html(html)),
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

impl AlertFacts {
    /// Writes the facts one below the other.
    fn write_html(&self, html: &mut String) {
        let _infallible = write!(
            html,
            "<p style=\"margin:0;font-weight:600\">{}</p><table role=\"presentation\" style=\"border-collapse:collapse;margin:2px 0 14px\">",
            escape(&single_line(&clipped(&self.caption(), LONGEST_NAME)))
        );
        for (name, value) in self.rows() {
            let _infallible = write!(
                html,
                "<tr><td style=\"padding:1px 14px 1px 0;color:{GREY};vertical-align:top;white-space:nowrap\">{}</td><td style=\"padding:1px 0\">{}</td></tr>",
                escape(name),
                escape(&single_line(&value))
            );
        }
        html.push_str("</table>");
    }
}

impl AlertTable {
    /// Writes a table whose rows wrap on a narrow screen, the cohort above its numbers. Mail clients without flexible boxes are
    /// those of desktops, and show an ordinary table.
    fn write_html(&self, html: &mut String) {
        html.push_str(
            "<table role=\"table\" style=\"width:100%;border-collapse:collapse;margin:2px 0 8px;font-size:13px;\
             font-variant-numeric:tabular-nums\">",
        );
        let widths: Vec<usize> = (0..self.columns.len()).map(|n| self.width(n)).collect();
        let titles: Vec<String> = self.columns.iter().map(|title| escape(title)).collect();
        write_row(html, "columnheader", &format!("font-size:12px;color:{GREY}"), ("cohort", &titles), &widths);
        for row in &self.rows {
            let cells: Vec<String> = row.cells.iter().map(|cell| escape(cell)).collect();
            let name = match &row.url {
                Some(url) => link(&Page { label: row.name.clone(), url: url.clone() }),
                None => escape(&row.name),
            };
            write_row(html, "cell", "border-top:1px solid #d1d9e0", (&name, &cells), &widths);
        }
        html.push_str("</table>");
        let remarks: Vec<String> = self.remarks.iter().map(|remark| escape(remark)).collect();
        if !remarks.is_empty() {
            let _infallible =
                write!(html, "<p style=\"margin:0 0 14px;font-size:12px;color:{GREY}\">{}</p>", remarks.join("<br>"));
        }
    }

    /// Width of a column in pixels, the same in every row so that numbers align.
    fn width(&self, column: usize) -> usize {
        let longest = self.rows.iter().map(|row| row.cells[column].chars().count()).max().unwrap_or_default();
        (8 * longest + 12).clamp(NARROWEST_COLUMN, WIDEST_COLUMN)
    }
}

/// Writes one row of escaped cells.
fn write_row(html: &mut String, role: &str, style: &str, (name, cells): (&str, &[String]), widths: &[usize]) {
    // Takes a line of its own where name and numbers do not fit into one: the difference is then positive.
    let least = NARROWEST_NAME + widths.iter().sum::<usize>();
    let _infallible = write!(
        html,
        "<tr role=\"row\" style=\"display:flex;flex-wrap:wrap;justify-content:flex-end;padding:4px 0;{style}\">\
         <td role=\"{role}\" style=\"flex:1 1 {NARROWEST_NAME}px;flex-basis:calc(({least}px - 100%)*999);max-width:100%;\
         padding:0;text-align:left\">{name}</td>"
    );
    for (cell, width) in cells.iter().zip(widths) {
        // Text of any length may break, also within a word.
        let wrap = if role == "cell" && *width < WIDEST_COLUMN { ";white-space:nowrap" } else { "" };
        let _infallible = write!(
            html,
            "<td role=\"{role}\" style=\"flex:0 0 {width}px;box-sizing:border-box;padding:0 0 0 10px;text-align:right{wrap}\">{cell}</td>"
        );
    }
    html.push_str("</tr>");
}

/// A link that a finger can hit, with its address below.
fn button(page: &Page) -> String {
    format!(
        "<p style=\"margin:8px 0 12px\"><a href=\"{0}\" style=\"background:#1f2328;color:#fff;padding:13px 18px;\
         border-radius:6px;text-decoration:none;display:inline-block\">{1}</a><br>\
         <span style=\"font-size:12px;color:{GREY}\">{0}</span></p>",
        escape(&page.url),
        escape(&page.label)
    )
}

fn link(page: &Page) -> String {
    format!("<a href=\"{}\" style=\"color:#0550ae\">{}</a>", escape(&page.url), escape(&page.label))
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
