//! Reads records from bytes: values with the lines where they begin. Follows RFC 4180, with any separator and any line ends,
//! and never holds more than one record in memory.

use std::io::{self, Read};

/// Maximum bytes of a record; more means a file whose quotes are never closed.
const LONGEST: usize = 16 << 20;
const BUFFER: usize = 64 << 10;

/// The reason that no record could be read.
#[derive(Debug)]
pub(super) enum Broken {
    /// The quotes of this value are never closed, or not within 16 MiB.
    OpenQuotes {
        line: u64,
        column: usize,
    },
    /// A record without quotes that is too long.
    TooLong {
        line: u64,
    },
    Io(io::Error),
}

/// Values of one record.
#[derive(Debug, Default)]
pub(super) struct Record {
    bytes: Vec<u8>,
    /// End of each value, and the line where it begins.
    ends: Vec<(usize, u64)>,
    /// Line where the record begins, counted from 1.
    pub line: u64,
}

impl Record {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the line where a value begins.
    pub(super) fn line_of(&self, column: usize) -> u64 {
        self.ends.get(column).map_or(self.line, |(_, line)| *line)
    }

    /// Returns a value without blanks around it, or the line where it is not UTF-8.
    pub(super) fn value(&self, column: usize) -> Result<&str, u64> {
        let start = column.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(end, _)| *end);
        let end = self.ends.get(column).map_or(start, |(end, _)| *end);
        let bytes = &self.bytes[start..end];
        std::str::from_utf8(bytes).map(str::trim).map_err(|error| {
            let before = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            self.line_of(column) + before as u64
        })
    }

    fn clear(&mut self, line: u64) {
        self.bytes.clear();
        self.ends.clear();
        self.line = line;
    }

    fn is_blank(&self) -> bool {
        self.bytes.is_empty() && self.ends.is_empty()
    }

    /// True for separators and nothing else, as spreadsheets write empty rows.
    fn is_hollow(&self) -> bool {
        self.bytes.is_empty() && !self.ends.is_empty()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a value, after blanks at most.
    Start,
    Plain,
    Quoted,
    /// After a quote that closes the value, or that is the first of an escaped pair.
    Closed,
}

/// A reader of records.
pub(super) struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    separator: u8,
    line: u64,
    /// Bytes taken so far.
    pub taken: u64,
    record: Record,
}

impl<R: Read> Records<R> {
    /// Creates a reader whose first line has this number.
    pub(super) fn new(input: R, separator: u8, line: u64) -> Self {
        Self { input, buffer: vec![0; BUFFER], at: 0, filled: 0, separator, line, taken: 0, record: Record::default() }
    }

    /// Returns the next record that is not empty.
    pub(super) fn next(&mut self) -> Result<Option<&Record>, Broken> {
        let (mut state, mut opened) = (State::Start, self.line);
        let mut begins = self.line;
        self.record.clear(self.line);
        loop {
            let Some(byte) = self.byte()? else {
                return match state {
                    State::Quoted => Err(Broken::OpenQuotes { line: opened, column: self.record.len() + 1 }),
                    State::Start if self.record.is_blank() => Ok(None),
                    _ if self.record.is_hollow() => Ok(None),
                    _ => Ok(Some(self.ended(begins))),
                };
            };
            match (state, byte) {
                (State::Quoted, b'"') => state = State::Closed,
                (State::Quoted, byte) => {
                    self.line += u64::from(byte == b'\n');
                    self.record.bytes.push(byte);
                }
                (State::Closed, b'"') => {
                    self.record.bytes.push(b'"');
                    state = State::Quoted;
                }
                (_, byte) if byte == self.separator => {
                    self.record.ends.push((self.record.bytes.len(), begins));
                    (state, begins) = (State::Start, self.line);
                }
                (_, b'\n' | b'\r') => {
                    self.end_line(byte)?;
                    if (state == State::Start && self.record.is_blank()) || self.record.is_hollow() {
                        (state, begins) = (State::Start, self.line);
                        self.record.clear(self.line);
                    } else {
                        return Ok(Some(self.ended(begins)));
                    }
                }
                (State::Start, b'"') => (state, opened, begins) = (State::Quoted, self.line, self.line),
                (State::Start | State::Closed, b' ' | b'\t') => {}
                (_, byte) => {
                    self.record.bytes.push(byte);
                    state = State::Plain;
                }
            }
            if self.record.bytes.len() > LONGEST {
                return Err(match state {
                    State::Quoted | State::Closed => Broken::OpenQuotes { line: opened, column: self.record.len() + 1 },
                    _ => Broken::TooLong { line: self.record.line },
                });
            }
        }
    }

    fn ended(&mut self, begins: u64) -> &Record {
        self.record.ends.push((self.record.bytes.len(), begins));
        &self.record
    }

    /// Counts a line, whose ending may have a second byte.
    fn end_line(&mut self, byte: u8) -> Result<(), Broken> {
        self.line += 1;
        if byte == b'\r' && self.peek()? == Some(b'\n') {
            self.at += 1;
            self.taken += 1;
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<Option<u8>, Broken> {
        let byte = self.peek()?;
        if byte.is_some() {
            self.at += 1;
            self.taken += 1;
        }
        Ok(byte)
    }

    fn peek(&mut self) -> Result<Option<u8>, Broken> {
        if self.at == self.filled {
            self.at = 0;
            self.filled = self.input.read(&mut self.buffer).map_err(Broken::Io)?;
        }
        Ok((self.filled > 0).then(|| self.buffer[self.at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Vec<(u64, Vec<String>)>;

    fn read(text: &[u8], separator: u8) -> Result<Read, Broken> {
        let mut records = Records::new(text, separator, 1);
        let mut all = Vec::new();
        while let Some(record) = records.next()? {
            let values = (0..record.len()).map(|n| record.value(n).unwrap().to_owned()).collect();
            all.push((record.line, values));
        }
        Ok(all)
    }

    fn of(lines: &[(u64, &[&str])]) -> Read {
        lines.iter().map(|(line, values)| (*line, values.iter().map(|v| (*v).to_owned()).collect())).collect()
    }

    #[test]
    fn values_are_read_with_their_lines_whatever_ends_a_line() {
        let expected = of(&[(1, &["a", "b"]), (3, &["1", "x\ny"]), (5, &["", "2"])]);
        for end in ["\n", "\r\n"] {
            let text = ["a,b", "", "1,\"x\ny\"", ",2"].join(end);
            assert_eq!(read(text.as_bytes(), b',').unwrap(), expected, "{end:?}");
        }
        assert_eq!(read(b"a;b\r1;2\r", b';').unwrap(), of(&[(1, &["a", "b"]), (2, &["1", "2"])]));
        assert_eq!(
            read(b"\"a \"\"x\"\"\", \"b, c\" ,5\" pipe\n", b',').unwrap(),
            of(&[(1, &["a \"x\"", "b, c", "5\" pipe"])])
        );
        assert_eq!(read(b"\n \n", b',').unwrap(), of(&[]));
        assert_eq!(read(b"a\tb c\n", b'\t').unwrap(), of(&[(1, &["a", "b c"])]));
        assert_eq!(read(b"\"\"\n", b',').unwrap(), of(&[(1, &[""])]));
        assert_eq!(read(b"a,b\n,\n1,\n,\"\"\n, \n,", b',').unwrap(), of(&[(1, &["a", "b"]), (3, &["1", ""])]));
    }

    #[test]
    fn quotes_that_are_never_closed_are_found_where_they_open() {
        for (text, place) in [("a,b\n1,\"2\n3,4\n", (2, 2)), ("\"a,b\n", (1, 1)), ("a,b\n\"x\"\"y,2\n", (2, 1))] {
            match read(text.as_bytes(), b',') {
                Err(Broken::OpenQuotes { line, column }) => assert_eq!((line, column), place, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        let endless = [b"a,b\n1,\"".as_slice(), &vec![b'x'; LONGEST + 1], b"\",2\n"].concat();
        assert!(matches!(read(&endless, b','), Err(Broken::OpenQuotes { line: 2, column: 2 })));
        assert!(matches!(read(&vec![b'x'; LONGEST + 1], b','), Err(Broken::TooLong { line: 1 })));
    }

    #[test]
    fn what_is_no_utf_8_is_found_in_its_line() {
        let mut records = Records::new(b"a,\"b\nc\xe9\"\n".as_slice(), b',', 1);
        let record = records.next().unwrap().unwrap();
        assert_eq!((record.value(0), record.value(1)), (Ok("a"), Err(2)));
    }
}
