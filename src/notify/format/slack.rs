//! Slack's incoming webhooks: title, text, and links to the incidents and the runbook.

use serde_json::{Value as Json, json};

use crate::notify::message::Notice;
use crate::text::line::{clipped, is_web_link};

/// Longest text that Slack accepts in a section, less the markup around it.
const LONGEST: usize = 2_900;
/// Longest address of a link, and most links to incidents: they share a section.
const LONGEST_LINK: usize = 2_000;
const MOST_PAGES: usize = 3;

pub(super) fn message(notice: &Notice) -> Json {
    let mut blocks = vec![section(&format!("*{}*", escape(&clipped(&notice.title, 500)).replace(['*', '`'], " ")))];
    let pages: Vec<String> =
        notice.pages().iter().take(MOST_PAGES).filter_map(|page| link(&page.url, &page.label)).collect();
    if !pages.is_empty() {
        blocks.push(section(&pages.join("   ")));
    }
    let runbook = notice.rules.iter().find_map(|section| section.rule.runbook.as_deref());
    blocks.extend(runbook.and_then(|runbook| link(runbook, "Open the runbook")).map(|link| section(&link)));
    // Three backticks would end the code block.
    let shown = clipped(&notice.text, LONGEST / 2).replace("```", "'''");
    let escaped = clipped(&escape(&shown), LONGEST);
    blocks.push(section(&format!("```{escaped}```")));
    json!({ "text": escape(&clipped(&notice.title, 500)), "blocks": blocks })
}

/// Formats a link, not a button: Slack reports a click on a button to an app, and an incoming webhook has none that answers.
fn link(url: &str, label: &str) -> Option<String> {
    // A link ends at `>` and its address at `|`; a well-formed address contains neither.
    let fits = url.len() <= LONGEST_LINK && is_web_link(url) && !url.contains(['|', '>', '<', '`']);
    fits.then(|| format!("<{}|{label}>", escape(url)))
}

fn section(text: &str) -> Json {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}

/// Escapes the three characters that are special in Slack; mentions and links begin with `<`.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
