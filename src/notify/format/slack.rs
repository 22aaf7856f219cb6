//! Slack's incoming webhooks: a line, the text, and the runbook as a link.

use serde_json::{Value as Json, json};

use crate::notify::message::Notice;
use crate::text::line::{clipped, is_web_link};

/// Longest text of a section that it takes, less the marks round it.
const LONGEST: usize = 2_900;

pub(super) fn message(notice: &Notice) -> Json {
    let mut blocks = vec![section(&format!("*{}*", escape(&clipped(&notice.title, 500)).replace(['*', '`'], " ")))];
    let runbook = notice.rules.iter().find_map(|section| section.rule.runbook.as_deref());
    // A link ends at `>` and its address at `|`: neither stands in an address that is written right.
    let fits = |link: &&str| link.len() <= 2_000;
    if let Some(link) = runbook.filter(fits).filter(|link| is_web_link(link) && !link.contains(['|', '>', '<', '`'])) {
        blocks.push(section(&format!("<{}|Open the runbook>", escape(link))));
    }
    // Three of these end what is shown as it is.
    let shown = clipped(&notice.text, LONGEST / 2).replace("```", "'''");
    let escaped = clipped(&escape(&shown), LONGEST);
    blocks.push(section(&format!("```{escaped}```")));
    json!({ "text": escape(&clipped(&notice.title, 500)), "blocks": blocks })
}

fn section(text: &str) -> Json {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}

/// The three characters that it gives a meaning to: mentions and links begin with `<`.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
