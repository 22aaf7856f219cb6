//! Links from a message to the pages. There are none unless `[web] base_url` says where the pages are.

use super::{AlertFacts, Notice};
use crate::text::links::Links;

/// A page that a message links to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Text of the link: `Open incident 17`.
    pub label: String,
    pub url: String,
}

impl Notice {
    /// Fills in the addresses of the incident and of every alert. A test has no incident and links to the overview.
    pub fn link(&mut self, links: &Links) {
        let incident = self.by_urgency().find_map(|alert| alert.incident);
        self.url = match incident {
            Some(id) => Some(links.incident(id)),
            None => (self.kind == "test").then(|| links.overview()),
        };
        for alert in self.rules.iter_mut().flat_map(|section| &mut section.alerts) {
            alert.url = alert.id.map(|id| links.alert(id));
        }
    }

    /// Returns the pages of all incidents, the most urgent first. Empty without links.
    pub fn pages(&self) -> Vec<Page> {
        let mut pages: Vec<Page> = Vec::new();
        for page in self.by_urgency().filter_map(|alert| self.page_of(alert)) {
            if pages.iter().all(|known| known.label != page.label) {
                pages.push(page);
            }
        }
        if pages.is_empty() {
            pages.extend(self.url.clone().map(|url| Page { label: "Open trueup".to_owned(), url }));
        }
        pages
    }

    /// Returns the page of an alert's incident. `None` without links.
    pub fn page_of(&self, alert: &AlertFacts) -> Option<Page> {
        let incident = alert.incident?;
        let is_first = self.by_urgency().find_map(|alert| alert.incident) == Some(incident);
        // The page of an alert leads to its incident.
        let url = if is_first { self.url.clone() } else { alert.url.clone() };
        Some(Page { label: format!("Open incident {incident}"), url: url? })
    }

    /// Returns the alerts, firing ones first, otherwise in the order of the message.
    fn by_urgency(&self) -> impl Iterator<Item = &AlertFacts> {
        let alerts =
            |fires: bool| self.alerts().map(|(_, alert)| alert).filter(move |alert| alert.is_firing() == fires);
        alerts(true).chain(alerts(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::samples;

    fn links() -> Links {
        Links::new("https://trueup.example.org").unwrap()
    }

    #[test]
    fn a_message_links_to_its_incident_and_each_alert_to_its_own_page() {
        let mut notice = samples::notice("firing", "all");
        assert!(notice.pages().is_empty(), "no host name is guessed");
        notice.link(&links());
        assert_eq!(notice.url.as_deref(), Some("https://trueup.example.org/incidents/3"));
        assert_eq!(notice.rules[0].alerts[0].url.as_deref(), Some("https://trueup.example.org/alerts/7"));
    }

    #[test]
    fn of_several_incidents_a_firing_one_comes_first() {
        let mut notice = samples::notice("firing", "all");
        let firing = notice.rules[0].alerts[0].clone();
        let ended = AlertFacts { id: Some(8), incident: Some(2), state: "resolved".to_owned(), ..firing.clone() };
        notice.rules[0].alerts = vec![ended, firing.clone(), firing];
        notice.link(&links());
        let pages: Vec<(String, String)> = notice.pages().into_iter().map(|page| (page.label, page.url)).collect();
        let page = |label: &str, path: &str| (label.to_owned(), format!("https://trueup.example.org{path}"));
        assert_eq!(pages, [page("Open incident 3", "/incidents/3"), page("Open incident 2", "/alerts/8")]);
    }

    #[test]
    fn a_test_links_to_the_overview_and_a_heartbeat_to_nothing() {
        for (kind, expected) in [("test", Some("https://trueup.example.org/")), ("heartbeat", None)] {
            let mut notice = samples::notice(kind, "all");
            (notice.rules[0].alerts[0].id, notice.rules[0].alerts[0].incident) = (None, None);
            notice.link(&links());
            assert_eq!(notice.url.as_deref(), expected, "{kind}");
            assert_eq!(notice.pages().first().map(|page| page.label.as_str()), expected.map(|_| "Open trueup"));
        }
    }
}
