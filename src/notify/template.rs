//! Texts that users write themselves: Jinja templates over the facts of a message. Strict, and with an end.

use minijinja::{Environment, UndefinedBehavior};

use crate::notify::message::{Notice, clipped, single_line};

/// Steps a template may take: far more than any message needs, and milliseconds.
const FUEL: u64 = 200_000;
/// Longest rendered text.
const LONGEST: usize = 20_000;

/// Templates of one receiver.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    pub title: Option<String>,
    pub text: Option<String>,
}

impl Templates {
    /// Fills in the words of a message. A template that fails on these facts costs nobody the message: our own words stand
    /// in, and say so.
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

/// Renders a template with a message as `notice`, whose own `title` and `text` are there to build on.
pub fn render(name: &str, template: &str, notice: &Notice) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(50);
    let mistake = |error: minijinja::Error| {
        let line = error.line().map_or(String::new(), |line| format!(" in line {line}"));
        format!("{}{line}", error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
    };
    environment.add_template(name, template).map_err(mistake)?;
    let template = environment.get_template(name).map_err(mistake)?;
    let rendered =
        template.render(minijinja::context! { notice => minijinja::value::Serde(notice) }).map_err(mistake)?;
    Ok(clipped(&rendered, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::samples;

    #[test]
    fn a_template_sees_the_facts_and_our_own_words() {
        let templates = Templates {
            title: Some("{{ notice.job.name }}: {{ notice.rules[0].alerts[0].value | round(1) }}".into()),
            text: Some("{{ notice.title }}!{% for rule in notice.rules %} {{ rule.name }}{% endfor %}".into()),
        };
        let mut notice = samples::notice("firing", "region=north");
        templates.fill(&mut notice);
        assert_eq!(notice.title, "load: 412.3");
        assert!(
            notice.text.starts_with("[FIRING] page load/rmse-high") && notice.text.ends_with("! rmse-high"),
            "{}",
            notice.text
        );
    }

    #[test]
    fn a_template_that_fails_costs_nobody_the_message() {
        for wrong in ["{{ notice.nothing }}", "{% for x in range(9999999) %}x{% endfor %}", "{{ 1 / 0 }}"] {
            let templates = Templates { title: Some(wrong.into()), text: None };
            let mut notice = samples::notice("firing", "all");
            templates.fill(&mut notice);
            assert!(notice.title.starts_with("[FIRING]"), "{wrong}: {}", notice.title);
            assert!(notice.text.contains("the template `title` failed"), "{}", notice.text);
        }
        assert!(render("title", "{{ unclosed", &samples::notice("firing", "all")).is_err());
    }

    #[test]
    fn a_template_cannot_break_a_line_of_a_header() {
        let templates = Templates { title: Some("{{ notice.rules[0].alerts[0].cohort }}".into()), text: None };
        let mut notice = samples::notice("firing", "x\r\nBcc: all@example.org");
        templates.fill(&mut notice);
        assert!(!notice.title.contains(['\r', '\n']));
    }
}
