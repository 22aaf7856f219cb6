//! Slack's incoming webhooks: title, text, and the runbook as a link.

use serde_json::{Value as Json, json};

use crate::notify::message::Notice;
use crate::text::line::{clipped, is_web_link};

/// Longest text that Slack accepts in a section, less the markup around it.
const LONGEST: usize = 2_900;

pub(super) fn message(notice: &Notice) -> Json {
    let mut blocks = vec![section(&format!("*{}*", escape(&clipped(&notice.title, 500)).replace(['*', '`'], " ")))];
    let runbook = notice.rules.iter().find_map(|section| section.rule.runbook.as_deref());
    // A link ends at `>` and its address at `|`; a well-formed address contains neither.
    let fits = |link: &&str| link.len() <= 2_000;
    if let Some(link) = runbook.filter(fits).filter(|link| is_web_link(link) && !link.contains(['|', '>', '<', '`'])) {
        blocks.push(section(&format!("<{}|Open the runbook>", escape(link))));
    }
    // Three backticks would end the code block.
    let shown = clipped(&notice.text, LONGEST / 2).replace("```", "'''");
    let escaped = clipped(&escape(&shown), LONGEST);
    blocks.push(section(&format!("```{escaped}```")));
    json!({ "text": escape(&clipped(&notice.title, 500)), "blocks": blocks })
}

fn section(text: &str) -> Json {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}

/// Escapes the three characters that are special in Slack; mentions and links begin with `<`.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
