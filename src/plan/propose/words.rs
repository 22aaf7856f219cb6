//! Interprets names of columns and tables: from words of several languages, how clearly a name suggests a prediction, a
//! label, a time or an arrival.

use super::dictionary::{
    ABOUT_ARRIVAL, ACTUAL, ACTUAL_EXACTLY, ARRIVAL, BESIDE, ESTIMATED, ESTIMATED_EXACTLY, EVENT, EVENT_ALONE, FILLING,
    HISTORY, KNOWN_LATER, NOT_PREDICTED, PREDICTED, PREDICTED_EXACTLY, SCORED,
};

/// How clearly a name says what a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Says {
    /// Belongs to a prediction but is not the prediction: a bound, an error, an earlier value.
    Beside,
    Nothing,
    /// A word that features have too: `credit_score`, `expected_days`, `p_value`.
    Weakly,
    /// A word that is the whole name: `score`, `estimate`.
    Rather,
    Plainly,
}

/// The words of a name in lower case without accents: `YPred_2` is `y`, `pred`, `2`.
pub fn tokens(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        let begins = c.is_uppercase() && before.is_lowercase();
        if !c.is_alphanumeric() || begins {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            c.to_lowercase().for_each(|c| plain(c, word));
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Appends a letter without its accent.
fn plain(c: char, word: &mut String) {
    let plain = match c {
        'à'..='å' | 'ā' | 'ă' | 'ą' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'ď' | 'đ' => 'd',
        'è'..='ë' | 'ē' | 'ę' | 'ě' => 'e',
        'ì'..='ï' | 'ī' | 'ı' => 'i',
        'ł' => 'l',
        'ñ' | 'ń' | 'ň' => 'n',
        'ò'..='ö' | 'ø' | 'ő' => 'o',
        'ř' => 'r',
        'ś' | 'š' | 'ş' | 'ș' => 's',
        'ť' | 'ţ' | 'ț' => 't',
        'ù'..='ü' | 'ů' | 'ű' | 'ū' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        // Combining accents.
        '\u{300}'..='\u{36f}' => return,
        c => c,
    };
    word.push(plain);
}

fn begins(word: &str, with: &str) -> bool {
    with.split_whitespace().any(|stem| word.starts_with(stem))
}

fn is_one_of(word: &str, words: &str) -> bool {
    words.split_whitespace().any(|known| known == word)
}

/// How clearly a name suggests a prediction.
pub fn prediction(name: &str) -> Says {
    let words = tokens(name);
    let predicted = |word: &String| {
        is_one_of(word, PREDICTED_EXACTLY)
            || (begins(word, PREDICTED) && !begins(word, NOT_PREDICTED))
            // `predictedprice`, `vorhersagewert` match by prefix; `pricepredicted`, `lastprognose` by suffix.
            || ["predicted", "prediction", "prognose", "vorhersage", "forecast"].iter().any(|end| word.ends_with(end))
    };
    let hat = words.len() > 1 && words.last().is_some_and(|word| word == "hat");
    let estimated = |word: &String| is_estimated(word);
    let is_plain = hat || words.iter().any(predicted);
    if !is_plain && !words.iter().any(estimated) {
        return Says::Nothing;
    }
    if is_beside(&words) {
        return Says::Beside;
    }
    let others = words.iter().filter(|word| !estimated(word) && !is_one_of(word, FILLING)).count();
    match (is_plain, others) {
        (true, _) => Says::Plainly,
        (false, 0) if words.iter().any(|word| word == "p" || word == "eta") && words.len() > 1 => Says::Weakly,
        (false, 0) => Says::Rather,
        (false, _) => Says::Weakly,
    }
}

/// How clearly a name suggests a score of a class: like a prediction, or by words that are features elsewhere, such as `risk`.
pub fn score(name: &str) -> Says {
    let (words, says) = (tokens(name), prediction(name));
    let scored = |word: &String| is_one_of(word, SCORED);
    if says > Says::Weakly || says == Says::Beside || !words.iter().any(scored) {
        return says;
    }
    let whole = |word: &String| scored(word) || is_estimated(word) || is_one_of(word, FILLING);
    match (is_beside(&words), words.iter().all(whole)) {
        (true, _) => Says::Beside,
        (false, true) => Says::Rather,
        (false, false) => Says::Weakly,
    }
}

fn is_estimated(word: &str) -> bool {
    is_one_of(word, ESTIMATED_EXACTLY) || begins(word, ESTIMATED)
}

/// True if a name belongs to a prediction but is not one: `yhat_lower`, `previous_forecast`, `pred_q10`.
fn is_beside(words: &[String]) -> bool {
    let quantile = |word: &String| {
        let digits = word.strip_prefix(['p', 'q']).unwrap_or_default();
        !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) && digits != "50"
    };
    let edge = [words.first(), words.last()].into_iter().flatten().any(|word| is_one_of(word, BESIDE));
    edge || words.iter().any(quantile) || words.iter().any(|word| word == "lag" || begins(word, "quantile percentile"))
}

/// How clearly a name suggests a label.
pub fn label(name: &str) -> Says {
    let words = tokens(name);
    let plain = |word: &String| is_one_of(word, ACTUAL_EXACTLY) || begins(word, ACTUAL);
    // `y_pred` contains a `y` as well.
    match prediction(name) {
        Says::Plainly | Says::Beside => Says::Nothing,
        _ if words.iter().any(plain) => {
            if is_beside(&words) {
                Says::Beside
            } else {
                Says::Plainly
            }
        }
        _ if words.iter().any(|word| begins(word, KNOWN_LATER)) => Says::Weakly,
        _ => Says::Nothing,
    }
}

/// Scores how likely a time is the one that a prediction is about.
pub(super) fn event(name: &str) -> i32 {
    let words = tokens(name);
    let count = words.iter().filter(|word| is_one_of(word, EVENT)).count().min(2);
    let alone = 2 * i32::from(is_one_of(&words.join("_"), EVENT_ALONE));
    let arrives = 3 * i32::from(words.iter().any(|word| is_one_of(word, ARRIVAL)));
    let history = 2 * i32::from(words.iter().any(|word| is_one_of(word, HISTORY)));
    i32::try_from(count).unwrap_or(0) + alone - arrives - history
}

/// Ranks how well a time says when its row became visible: the lower the better; `None` if the name is about something
/// else, such as `account_created_at`.
pub(super) fn arrival(name: &str) -> Option<usize> {
    let words = tokens(name);
    let is_known = |word: &String| is_one_of(word, ARRIVAL) || is_one_of(word, ABOUT_ARRIVAL);
    if !words.iter().all(is_known) {
        return None;
    }
    words.iter().filter_map(|word| ARRIVAL.split_whitespace().position(|known| known == word)).min()
}

/// True if a number or a time has a name that is typical of times: `ts`, `event_time`, `created`.
pub fn is_time(name: &str) -> bool {
    let words = tokens(name);
    let times = "t epoch unix when epochs millis";
    let is_event = |word: &String| is_one_of(word, EVENT) && !is_one_of(word, "target day data dia delivery due");
    words.iter().any(|word| {
        is_event(word)
            || is_one_of(word, ARRIVAL)
            || is_one_of(word, times)
            || word.ends_with("time")
            || word.ends_with("timestamp")
    })
}

/// True if a name is that of a key or of a reference to one.
pub(super) fn is_key(name: &str) -> bool {
    let words = tokens(name);
    let ends = "id ids key no uuid guid pk hash token rownum nr";
    words.last().is_some_and(|word| is_one_of(word, ends)) || ["index", "idx"].contains(&words.join("_").as_str())
}

/// Weight of a table or column whose name suggests predictions: 0 or 1.
pub(super) fn of_predictions(name: &str) -> i32 {
    i32::from(matches!(prediction(name), Says::Plainly | Says::Rather | Says::Weakly | Says::Beside))
}

/// The same for labels.
pub(super) fn of_labels(name: &str) -> i32 {
    i32::from(matches!(label(name), Says::Plainly | Says::Weakly | Says::Beside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_word_by_word_in_any_case_and_without_accents() {
        assert_eq!(tokens("YPred_2"), ["ypred", "2"]);
        assert_eq!(tokens("predictedPrice"), ["predicted", "price"]);
        assert_eq!(tokens("Schätzung (€)"), ["schatzung"]);
        assert_eq!(tokens("  "), Vec::<String>::new());
    }

    #[test]
    fn names_of_predictions_are_known_in_any_case_and_language() {
        for name in [
            "prediction",
            "Prediction",
            "PRED",
            "y_pred",
            "yhat",
            "y_hat",
            "Y_HAT",
            "yPred",
            "YPred",
            "forecast",
            "predicted_price",
            "price_predicted",
            "price_pred",
            "price_hat",
            "vorhersage",
            "Prognose",
            "predicción",
            "prediccion_precio",
            "previsione",
            "prévision",
            "prognoza",
            "previsão",
            "voorspelling",
            "predictedValue",
            "pred_mean",
            "yhat_p50",
            "прогноз",
            "予測値",
            "load_fcst",
            "lastprognose",
            "price.pred",
        ] {
            assert_eq!(prediction(name), Says::Plainly, "{name}");
        }
        for name in ["score", "SCORE", "model_score", "estimate", "probability", "Schätzung", "stima", "estimacion"] {
            assert_eq!(prediction(name), Says::Rather, "{name}");
        }
        for (name, says) in [
            ("risk", Says::Rather),
            ("risk_score", Says::Rather),
            ("proba", Says::Rather),
            ("fraud_risk", Says::Weakly),
            ("p_fraud", Says::Weakly),
            ("risk_std", Says::Beside),
            ("yhat", Says::Plainly),
            ("age", Says::Nothing),
            ("model", Says::Nothing),
        ] {
            assert_eq!(score(name), says, "{name}");
        }
        for name in ["credit_score", "p_fraud", "p_value", "expected_days", "estimated_mileage"] {
            assert_eq!(prediction(name), Says::Weakly, "{name}");
        }
        for name in [
            "yhat_lower",
            "yhat_upper",
            "pred_std",
            "forecast_horizon",
            "previous_forecast",
            "pred_q10",
            "prediction_error",
        ] {
            assert_eq!(prediction(name), Says::Beside, "{name}");
        }
        for name in ["age", "price", "predictor_3", "mileage", "tempo", "hat", "chat", "premium", "spread"] {
            assert_eq!(prediction(name), Says::Nothing, "{name}");
        }
    }

    #[test]
    fn names_of_labels_times_and_arrivals_are_known() {
        for name in ["actual", "y_true", "ground_truth", "Istwert", "valor_real", "y", "observed_mw", "label"] {
            assert_eq!(label(name), Says::Plainly, "{name}");
        }
        for name in ["y_pred", "yhat", "price", "year"] {
            assert_eq!(label(name), Says::Nothing, "{name}");
        }
        assert!(event("at") > event("start_date") && event("target_time") > event("created_at"));
        assert!(event("listed_at") > event("account_opened_at"));
        for name in
            ["created_at", "inserted_at", "made", "scored_at", "ingestion_inserted_ts_utc", "prediction_created_at"]
        {
            assert_eq!(arrival(name).is_some(), name != "ingestion_inserted_ts_utc", "{name}");
        }
        assert!(arrival("account_created_at").is_none() && arrival("at").is_none());
        assert!(arrival("inserted_at") < arrival("created_at"));
        for (name, is) in [("ts", true), ("made", true), ("event_time", true), ("price", false), ("target", false)] {
            assert_eq!(is_time(name), is, "{name}");
        }
    }
}
