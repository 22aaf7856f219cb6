//! Detects how a file is written, from its beginning: where its first line begins, and what separates its values.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::Result;

use super::mistake::{mistake, unreadable};
use super::records::Records;
use crate::commands::user_error;

const SAMPLE: usize = 256 << 10;
/// Maximum records that are compared.
const LOOKED_AT: usize = 100;
/// The likeliest first, for when the records do not decide.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Files of other kinds by their first bytes.
const OTHERS: [(&[u8], &str); 5] = [
    (&[0xff, 0xfe], "it is not UTF-8 but UTF-16: save the file as UTF-8"),
    (&[0xfe, 0xff], "it is not UTF-8 but UTF-16: save the file as UTF-8"),
    (&[0x1f, 0x8b], "it is not a CSV file but a gzip archive: decompress it first"),
    (b"PK\x03\x04", "it is not a CSV file but an archive, such as an Excel workbook: save the sheet as CSV in UTF-8"),
    (b"PAR1", "it is not a CSV file but Parquet: export it as CSV"),
];

/// A file that can be read from its header any number of times.
pub(super) struct Source<'a> {
    pub path: &'a Path,
    pub size: u64,
    pub separator: u8,
    /// Bytes before the header, and the header's line.
    begins: (u64, u64),
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a Path) -> Result<Self> {
        if !path.is_file() {
            return Err(user_error(format!("there is no file `{}`", path.display())));
        }
        let failed = |error| unreadable(path, &error);
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut sample = Vec::with_capacity(SAMPLE);
        file.take(SAMPLE as u64).read_to_end(&mut sample).map_err(failed)?;
        if let Some((_, why)) = OTHERS.iter().find(|(begins, _)| sample.starts_with(begins)) {
            return Err(mistake(path, 1, None, why));
        }
        let mark = if sample.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
        let said = said(&sample[mark..]);
        let skipped = mark + said.map_or(0, |(_, length)| length);
        let whole = size <= SAMPLE as u64;
        let separator = said.map_or_else(|| likeliest(&sample[skipped..], whole), |(separator, _)| separator);
        Ok(Self { path, size, separator, begins: (skipped as u64, if said.is_some() { 2 } else { 1 }) })
    }

    /// Returns the records from the header on.
    pub(super) fn records(&self) -> Result<Records<File>> {
        let failed = |error| unreadable(self.path, &error);
        let mut file = File::open(self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(self.begins.0)).map_err(failed)?;
        Ok(Records::new(file, self.separator, self.begins.1))
    }

    /// Returns the separator for display, or `None` for the usual one.
    pub(super) fn unusual(&self) -> Option<&'static str> {
        match self.separator {
            b',' => None,
            b'\t' => Some("tabs"),
            b'|' => Some("`|`"),
            _ => Some("`;`"),
        }
    }
}

/// Parses `sep=;`, which Excel reads and some programs write. Returns the separator and the length of the line.
fn said(text: &[u8]) -> Option<(u8, usize)> {
    let rest = text.strip_prefix(b"sep=").or_else(|| text.strip_prefix(b"SEP="))?;
    let (separator, end) = rest.split_first()?;
    let end = if end.starts_with(b"\r\n") { 2 } else { usize::from(end.starts_with(b"\n")) };
    (end > 0).then_some((*separator, 5 + end))
}

/// Returns the separator that gives the header several names and most records as many values.
fn likeliest(sample: &[u8], is_whole: bool) -> u8 {
    let scored = SEPARATORS.iter().enumerate().filter_map(|(n, separator)| {
        let (columns, same, records) = counts(sample, *separator, is_whole)?;
        // In thousandths, so that equal shares compare equal.
        (columns > 1).then_some(((same * 1_000 / records.max(1), columns, usize::MAX - n), *separator))
    });
    scored.max().map_or(b',', |(_, separator)| separator)
}

/// Returns the number of names in the header, of records with as many values, and of all records.
fn counts(sample: &[u8], separator: u8, is_whole: bool) -> Option<(usize, usize, usize)> {
    let mut records = Records::new(sample, separator, 1);
    let columns = records.next().ok().flatten()?.len();
    let mut counted = Vec::new();
    while counted.len() < LOOKED_AT {
        // Mistakes in a record are reported when the file is read.
        let Ok(Some(record)) = records.next() else { break };
        counted.push(record.len());
    }
    // The last record of a partial sample may be cut.
    if !is_whole && counted.len() < LOOKED_AT {
        counted.pop();
    }
    Some((columns, counted.iter().filter(|count| **count == columns).count(), counted.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_separator_is_what_gives_records_as_many_values_as_names() {
        for (text, separator) in [
            ("a,b\n1,2\n", b','),
            ("a;b\n1,5;2,5\n", b';'),
            ("a;b;c\n1,5;2,5;3\n2,5;3;4\n", b';'),
            ("a\tb\n1,2\t3\n", b'\t'),
            ("a|b\n1|2\n", b'|'),
            ("\"a;x\",b\n\"1;2\",3\n", b','),
            ("a,\"b;c;d\",e\n1,2,3\n", b','),
            ("a,tags\n1,x|y\n2,x|y\n", b','),
            ("id,v\n1,2,3\n", b','),
            ("alone\n1\n", b','),
            ("", b','),
            ("a;b\n", b';'),
        ] {
            assert_eq!(likeliest(text.as_bytes(), true), separator, "{text}");
        }
        assert_eq!(said(b"sep=;\r\na;b"), Some((b';', 7)));
        assert_eq!(said(b"sep=;a"), None);
    }
}
