//! The five results of judging a window. Only `breach` can open an alert, only `ok` can close one.

/// Result of a rule on one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    Ok,
    Breach,
    /// There is a value, but too little data behind it.
    Insufficient,
    /// There is nothing to compare.
    NoData,
    /// The value is not a number.
    Error,
}

impl Verdict {
    /// True if there was enough data to decide.
    pub fn is_decided(self) -> bool {
        matches!(self, Self::Ok | Self::Breach)
    }

    pub const ALL: [Self; 5] = [Self::Ok, Self::Breach, Self::Insufficient, Self::NoData, Self::Error];

    /// The word that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Breach => "breach",
            Self::Insufficient => "insufficient",
            Self::NoData => "no_data",
            Self::Error => "error",
        }
    }

    /// One or two characters for a strip of verdicts.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Breach => "B",
            Self::Insufficient => "??",
            Self::NoData => "--",
            Self::Error => "!",
        }
    }

    /// Words for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Breach => "breach",
            Self::Insufficient => "too little to say",
            Self::NoData => "no data",
            Self::Error => "error",
        }
    }

    /// The verdict of a stored word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == word)
    }
}
