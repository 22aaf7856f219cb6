//! User-defined texts: Jinja templates over the facts of a notification. Strict about undefined names, and bounded.

pub mod body;
mod budget;
mod guard;

use minijinja::{Environment, UndefinedBehavior, Value};

use crate::notify::message::Notice;
use crate::text::line::{clipped, single_line};
use body::Body;
use budget::Budget;

/// Steps that a template may take: far more than any message needs, yet only milliseconds.
const FUEL: u64 = 200_000;
/// Longest rendered text.
const LONGEST: usize = 20_000;
/// Longest template, in bytes.
const LONGEST_TEMPLATE: usize = 65_536;
/// Bytes that a template may produce while rendering, in addition to a few times the size of the message.
const MOST: u64 = 4 << 20;

/// Templates of one receiver.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    pub title: Option<String>,
    pub text: Option<String>,
    /// User-defined body of a webhook.
    pub body: Option<Body>,
}

impl Templates {
    /// Fills in the texts of a notification. If a template fails on its facts, the default text is used and reports the failure,
    /// so that no notification is lost.
    pub fn fill(&self, notice: &mut Notice) {
        notice.title = notice.headline();
        notice.text = notice.plain_text();
        let facts = notice.clone();
        let mut failures = Vec::new();
        for (name, template, place) in
            [("title", &self.title, &mut notice.title), ("text", &self.text, &mut notice.text)]
        {
            match template.as_deref().map(|template| render(name, template, &facts)) {
                Some(Ok(rendered)) => *place = rendered,
                Some(Err(mistake)) => failures.push(format!("the template `{name}` failed: {mistake}")),
                None => {}
            }
        }
        notice.title = single_line(&notice.title);
        if !failures.is_empty() {
            notice.text = format!("{}\n({})\n", notice.text, failures.join("; "));
        }
    }
}

/// Renders a template over `notice`, including its default `title` and `text`.
pub fn render(name: &str, template: &str, notice: &Notice) -> Result<String, String> {
    let mistake = |error: minijinja::Error| {
        let line = error.line().map_or(String::new(), |line| format!(" on line {line}"));
        let words = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        format!("{}{line}", words.replacen("the template ", &format!("the template `{name}` "), 1))
    };
    if template.len() > LONGEST_TEMPLATE {
        return Err(format!("a template can be at most {LONGEST_TEMPLATE} bytes long"));
    }
    let facts = minijinja::context! { notice => minijinja::value::Serde(notice) };
    let mut environment = bounded(template, &facts).map_err(mistake)?;
    let guarded = guard::guarded(name, template).map_err(mistake)?;
    environment.add_template(name, &guarded).map_err(mistake)?;
    let template = environment.get_template(name).map_err(mistake)?;
    let rendered = template.render(facts).map_err(mistake)?;
    Ok(clipped(&rendered, LONGEST))
}

/// Creates an environment that limits the steps and bytes of a template.
fn bounded<'e>(template: &str, facts: &Value) -> Result<Environment<'e>, minijinja::Error> {
    let message = Budget::new(u64::MAX);
    message.charge_for(facts)?;
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Each text between tags is copied in a single step, and its bytes are not charged.
    let most = MOST / longest_between_tags(template);
    environment.set_fuel(Some(FUEL.min(most)));
    environment.set_recursion_limit(50);
    budget::bound(&mut environment, &Budget::new(MOST + 4 * message.charged()));
    Ok(environment)
}

/// Upper bound on the length of a text between two tags, at least 1.
fn longest_between_tags(template: &str) -> u64 {
    // In a `raw` block tags are text.
    let longest = match template.contains("raw") {
        true => template.len(),
        false => template.split("{{").flat_map(|part| part.split("{%")).map(str::len).max().unwrap_or_default(),
    };
    longest.max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::samples;

    #[test]
    fn a_template_sees_the_facts_and_our_own_words() {
        let templates = Templates {
            title: Some("{{ notice.job.name }}: {{ notice.rules[0].alerts[0].value | round(1) }}".into()),
            body: None,
            text: Some("{{ notice.title }}!{% for rule in notice.rules %} {{ rule.name }}{% endfor %}".into()),
        };
        let mut notice = samples::notice("firing", "region=north");
        templates.fill(&mut notice);
        assert_eq!(notice.title, "load: 412.3");
        assert!(
            notice.text.starts_with("[PAGE] load: rmse 412.3 MW") && notice.text.ends_with("! rmse-high"),
            "{}",
            notice.text
        );
    }

    #[test]
    fn a_template_that_fails_costs_nobody_the_message() {
        for wrong in ["{{ notice.nothing }}", "{% for x in range(9999999) %}x{% endfor %}", "{{ 1 / 0 }}"] {
            let templates = Templates { title: Some(wrong.into()), ..Templates::default() };
            let mut notice = samples::notice("firing", "all");
            templates.fill(&mut notice);
            assert!(notice.title.starts_with("[PAGE]"), "{wrong}: {}", notice.title);
            assert!(notice.text.contains("the template `title` failed"), "{}", notice.text);
        }
        assert!(render("title", "{{ unclosed", &samples::notice("firing", "all")).is_err());
    }

    #[test]
    fn a_template_cannot_break_a_line_of_a_header() {
        let templates =
            Templates { title: Some("{{ notice.rules[0].alerts[0].cohort }}".into()), ..Templates::default() };
        let mut notice = samples::notice("firing", "x\r\nBcc: all@example.org");
        templates.fill(&mut notice);
        assert!(!notice.title.contains(['\r', '\n']));
    }

    #[test]
    fn what_templates_usually_do_they_still_do() {
        let notice = samples::notice("firing", "region=north");
        for (template, rendered) in [
            ("{{ 'a' ~ 1 ~ 'b' + 'c' }}", "a1bc"),
            (
                "{{ '-' * 5 }}{{ 3 * '=' }}{{ 2 * 3 }} {{ 0.5 * 4 }} {{ 7 - 2 * 3 }} {{ (1 + 2) * 3 }}",
                "-----===6 2.0 1 9",
            ),
            ("{{ ([1] * 3)|length }} {{ ([1] + [2, 3])|join('+') }} {{ [1, 2, 3][1:]|last }}", "3 1+2+3 3"),
            ("{% set x = namespace(n=0) %}{% for i in range(4) %}{% set x.n = x.n + i %}{% endfor %}{{ x.n }}", "6"),
            ("{% macro m(x, y='z' ~ 1) %}<{{ x }}{{ y }}>{% endmacro %}{{ m('a' ~ 'b') }}", "<abz1>"),
            ("{% if 'b' in ('a', 'b') and not 'c' in ['a'] %}yes{% endif %}", "yes"),
            ("{{ notice.rules|map(attribute='name')|join(', ') }}", "rmse-high"),
            ("{{ (notice.rules[0].alerts[0].value * 100)|round(1) }}", "41234.5"),
            ("{{ notice.job.name|upper|replace('O', '0')|indent(2) }}{% set m = {'a': 1 + 1} %}{{ m.a }}", "L0AD2"),
            (
                "{{ '%05.1f'|format(3.14159) }} {{ -(1 + 2) }} {{ 2 ** 3 * 2 }} {{ 'x' ~ (1 if true else 2) * 2 }}",
                "003.1 -3 16 x2",
            ),
            ("{% for row in [1, 2, 3]|batch(2, 0) %}{{ row|join(',') }};{% endfor %}", "1,2;3,0;"),
            ("{{ notice.nothing|default('none' ~ '!') }}{% filter upper %}x{{ 'y' ~ 'z' }}{% endfilter %}", "none!XYZ"),
        ] {
            assert_eq!(render("text", template, &notice).as_deref(), Ok(rendered), "{template}");
        }
    }

    #[test]
    fn a_mistake_keeps_its_line() {
        let notice = samples::notice("firing", "all");
        let mistake = render("text", "{{ 'a' ~ 'b' }}\n{{ 1 * 2 + 3 }}\n{{ notice.nothing }}", &notice).unwrap_err();
        assert!(mistake.contains("line 3"), "{mistake}");
    }
}
