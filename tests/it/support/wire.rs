//! Just enough of the Postgres wire protocol to see which statement a client asks for, and when its answer is complete.

use std::collections::{HashMap, VecDeque};

/// A request as it is forwarded: everything up to the message that makes the server answer.
pub struct Request {
    pub bytes: Vec<u8>,
    /// The statement; `prepare: …` when it is only parsed; `ping` without any. None: nothing is answered.
    pub statement: Option<String>,
}

/// Everything that the server sent up to `ReadyForQuery`, or up to a point where the client has to act.
pub struct Answer {
    pub bytes: Vec<u8>,
    pub statement: Option<String>,
    /// The statement that wrote last, when this answer says that its transaction has committed.
    pub committed: Option<String>,
    /// The process id of the session, once it has begun.
    pub session: Option<i32>,
}

/// What one connection has said so far, both ways.
#[derive(Default)]
pub struct Conversation {
    has_started: bool,
    prepared: HashMap<String, String>,
    bound: Option<String>,
    parsed: Option<String>,
    unanswered: VecDeque<String>,
    wrote: Option<String>,
}

impl Conversation {
    /// Takes the next request out of what a client has sent. None: more has to come.
    pub fn next_request(&mut self, buffer: &mut Vec<u8>) -> Option<Request> {
        if !self.has_started {
            let end = read_length(buffer, 0)?;
            self.has_started = true;
            return Some(Request { bytes: take(buffer, end)?, statement: None });
        }
        let mut at = 0;
        while let Some((kind, end)) = message(buffer, at) {
            let statement = self.hear(kind, &buffer[at + 5..end]);
            at = end;
            // Copied data and the end of a session are passed on at once: nothing else follows them.
            if statement.is_some() || matches!(kind, b'd' | b'c' | b'f' | b'X' | b'p' | b'H') {
                return Some(Request { bytes: take(buffer, end)?, statement });
            }
        }
        None
    }

    fn hear(&mut self, kind: u8, body: &[u8]) -> Option<String> {
        match kind {
            b'P' => {
                let (name, rest) = text(body);
                let (sql, _) = text(rest);
                self.prepared.insert(name, sql.clone());
                self.parsed = Some(sql);
                None
            }
            b'B' => {
                let (_, rest) = text(body);
                let (name, _) = text(rest);
                self.bound = self.prepared.get(&name).cloned();
                None
            }
            b'Q' => Some(self.ask(text(body).0)),
            b'S' => {
                let parsed = self.parsed.take().map(|sql| format!("prepare: {sql}"));
                let statement = self.bound.take().or(parsed).unwrap_or_else(|| "ping".to_owned());
                Some(self.ask(statement))
            }
            _ => None,
        }
    }

    fn ask(&mut self, statement: String) -> String {
        let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        self.unanswered.push_back(statement.clone());
        statement
    }

    /// Takes the next answer out of what a server has sent. None: more has to come.
    pub fn next_answer(&mut self, buffer: &mut Vec<u8>) -> Option<Answer> {
        let (mut at, mut tags, mut session) = (0, Vec::new(), None);
        while let Some((kind, end)) = message(buffer, at) {
            let body = &buffer[at + 5..end];
            match kind {
                b'C' => tags.push(text(body).0),
                b'K' => session = body.first_chunk().map(|pid| i32::from_be_bytes(*pid)),
                b'Z' => {
                    let is_idle = body.first() == Some(&b'I');
                    let statement = self.unanswered.pop_front();
                    let committed = self.committed(statement.as_deref(), &tags, is_idle);
                    return Some(Answer { bytes: take(buffer, end)?, statement, committed, session });
                }
                // The client has to act before the server goes on: authentication, and copying.
                b'R' | b'G' | b'W' => {
                    return Some(Answer { bytes: take(buffer, end)?, statement: None, committed: None, session: None });
                }
                _ => {}
            }
            at = end;
        }
        None
    }

    /// What has been written for good by now, if anything has.
    fn committed(&mut self, statement: Option<&str>, tags: &[String], is_idle: bool) -> Option<String> {
        let is_writing = |tag: &&String| {
            let mut words = tag.split(' ');
            matches!(words.next(), Some("INSERT" | "UPDATE" | "DELETE")) && words.next_back() != Some("0")
        };
        if tags.iter().any(|tag| is_writing(&tag)) {
            self.wrote = statement.map(str::to_owned);
        }
        if tags.iter().any(|tag| tag == "ROLLBACK") {
            self.wrote = None;
        }
        if is_idle { self.wrote.take() } else { None }
    }
}

/// Kind and end of the message that begins at `at`, if all of it is there.
fn message(buffer: &[u8], at: usize) -> Option<(u8, usize)> {
    let kind = *buffer.get(at)?;
    Some((kind, read_length(buffer, at + 1)?))
}

/// The end of what a length at `at` counts, itself included, if all of it is there.
fn read_length(buffer: &[u8], at: usize) -> Option<usize> {
    let length = u32::from_be_bytes(buffer.get(at..at + 4)?.try_into().ok()?);
    let end = at + usize::try_from(length).ok()?;
    (end <= buffer.len()).then_some(end)
}

fn take(buffer: &mut Vec<u8>, end: usize) -> Option<Vec<u8>> {
    let rest = buffer.split_off(end);
    Some(std::mem::replace(buffer, rest))
}

/// A text that ends with a zero, and what follows it.
fn text(body: &[u8]) -> (String, &[u8]) {
    let end = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
    (String::from_utf8_lossy(&body[..end]).into_owned(), body.get(end + 1..).unwrap_or_default())
}
