//! `/api/v1`: what the pages show, for programs. The table of operations is both the router and its documentation.

mod acts;
mod budget;
mod call;
mod classes;
mod csv;
mod gate;
mod history;
mod identity;
mod jobs;
mod openapi;
mod operation;
mod parameter;
mod posted;
mod public;
mod series;
pub mod signed;
mod types;
mod windows;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post};

use self::call::{Answer, Call};
use self::operation::{Access, Content, Operation, json};
use self::parameter::SELECTION;
use super::Shared;
use super::problem::{self, Problem};

/// Path of the API.
pub(super) const PATH: &str = "/api/v1";

const CSV: Content = Content::File("text/csv");

/// Returns the routes of the API, to be nested below its path.
pub(super) fn router(shared: &Arc<Shared>) -> Router {
    let (mut users, mut guests) = (Router::new(), Router::new());
    for operation in operations() {
        let route = operation.route();
        match operation.access {
            Access::User => users = users.route(&route, operation.handler),
            Access::Signed => guests = guests.route(&route, operation.handler),
        }
    }
    users
        .fallback(missing)
        .layer(middleware::from_fn_with_state(Arc::clone(shared), identity::identify))
        .merge(guests)
        .layer(middleware::map_response(problem::rewrite))
        .with_state(Arc::clone(shared))
}

async fn missing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at this address; {PATH}/openapi.json lists all"))
}

async fn document(State(shared): State<Arc<Shared>>, call: Call) -> Answer {
    let server = shared.links.clone().unwrap_or_default().api();
    call.answer(&shared, &[], None, async |_| call::json(&openapi::document(&operations(), &server))).await
}

/// All operations.
fn operations() -> Vec<Operation> {
    let mut all = of_jobs();
    all.extend(classes::operations());
    all.extend(of_history());
    all.extend(acts::operations());
    all.extend(of_guests());
    all
}

fn of_jobs() -> Vec<Operation> {
    use self::types::{Budget, CohortEntry, Gate, Job, SeriesEntry, Window};
    let (svg, png) = (Content::File("image/svg+xml"), Content::File("image/png"));
    vec![
        Operation::new("/jobs", "All jobs as they are now", jobs::LIST, json::<Vec<Job>>(), get(jobs::list)),
        Operation::new("/jobs.csv", "All jobs as CSV", jobs::LIST, CSV, get(jobs::list_csv)),
        Operation::new("/jobs/{job}", "One job as it is now", &[], json::<Job>(), get(jobs::show)),
        Operation::new(
            "/jobs/{job}/series",
            "One metric through time: an object a window",
            SELECTION,
            json::<Vec<SeriesEntry>>(),
            get(series::entries),
        ),
        Operation::new(
            "/jobs/{job}/series.json",
            "The same series",
            SELECTION,
            json::<Vec<SeriesEntry>>(),
            get(series::entries),
        ),
        Operation::new("/jobs/{job}/series.csv", "The series as CSV", SELECTION, CSV, get(series::table)),
        Operation::new("/jobs/{job}/series.svg", "The series as a chart", SELECTION, svg, get(series::drawing)),
        Operation::new("/jobs/{job}/series.png", "The series as a picture", SELECTION, png, get(series::picture)),
        Operation::new(
            "/jobs/{job}/windows/{window}/{end}",
            "One window with all its metrics, as first reported and now",
            windows::OF_WINDOW,
            json::<Window>(),
            get(windows::show),
        ),
        Operation::new(
            "/jobs/{job}/cohorts",
            "One metric of all cohorts; without `from`, in the newest window",
            windows::OF_COHORTS,
            json::<Vec<CohortEntry>>(),
            get(windows::cohorts),
        ),
        Operation::new(
            "/jobs/{job}/cohorts.csv",
            "The cohorts as CSV",
            windows::OF_COHORTS,
            CSV,
            get(windows::cohorts_csv),
        ),
        Operation::new(
            "/jobs/{job}/budget/{slo}",
            "An error budget, and its history",
            budget::PARAMETERS,
            json::<Budget>(),
            get(budget::show),
        ),
        Operation::new(
            "/jobs/{job}/gate",
            "Pass, fail or wait, by a rule or an objective; always 200",
            gate::PARAMETERS,
            json::<Gate>(),
            get(gate::show),
        ),
    ]
}

fn of_history() -> Vec<Operation> {
    use self::types::{Annotation, Delivery, Incident, IncidentDetail, Run, Silence};
    let incidents = json::<Vec<Incident>>();
    vec![
        Operation::new("/incidents", "Incidents, newest first", history::INCIDENTS, incidents, get(history::incidents)),
        Operation::new(
            "/incidents/{id}",
            "One incident with its alerts and notes",
            &[],
            json::<IncidentDetail>(),
            get(history::incident_detail),
        ),
        Operation::new("/runs", "Runs, newest first", history::RUNS, json::<Vec<Run>>(), get(history::runs)),
        Operation::new(
            "/deliveries",
            "Notifications, newest first",
            history::DELIVERIES,
            json::<Vec<Delivery>>(),
            get(history::deliveries),
        ),
        Operation::new(
            "/silences",
            "Silences, newest first",
            history::SILENCES,
            json::<Vec<Silence>>(),
            get(history::silences),
        ),
        Operation::new("/incidents.csv", "Incidents as CSV", history::INCIDENTS, CSV, get(history::incidents_csv)),
        Operation::new("/runs.csv", "Runs as CSV", history::RUNS, CSV, get(history::runs_csv)),
        Operation::new(
            "/deliveries.csv",
            "Notifications as CSV",
            history::DELIVERIES,
            CSV,
            get(history::deliveries_csv),
        ),
        Operation::new("/silences.csv", "Silences as CSV", history::SILENCES, CSV, get(history::silences_csv)),
        Operation::new(
            "/annotations",
            "Events of models and data, oldest first, as Grafana reads them",
            history::ANNOTATIONS,
            json::<Vec<Annotation>>(),
            get(history::annotations),
        ),
        Operation::new(
            "/openapi.json",
            "This document",
            &[],
            json::<serde_json::Map<String, serde_json::Value>>(),
            get(document),
        ),
    ]
}

/// Operations for readers that cannot sign in.
fn of_guests() -> Vec<Operation> {
    use self::types::Gate;
    let (svg, atom) = (Content::File("image/svg+xml"), Content::File("application/atom+xml"));
    vec![
        Operation::new("/badge/{job}.svg", "State of a job as a badge", public::BADGE, svg, get(public::badge))
            .signed(),
        Operation::new("/incidents.atom", "Incidents as a feed", public::FEED, atom, get(public::incidents)).signed(),
        Operation::new(
            "/gate/{job}/{k}/promotion",
            "200 if the gate passes, else 403: a `confirm-promotion` of Flagger",
            gate::PARAMETERS,
            json::<Gate>(),
            post(gate::promotion),
        )
        .signed()
        .post(),
        Operation::new(
            "/gate/{job}/{k}/rollback",
            "200 if the gate fails, else 403: a `rollback` of Flagger, which goes back on success",
            gate::PARAMETERS,
            json::<Gate>(),
            post(gate::rollback),
        )
        .signed()
        .post(),
    ]
}
