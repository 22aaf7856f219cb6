//! Words in column names, in several languages, in lower case without accents. The words of a list are separated by whitespace.

/// Prefixes of words.
pub(super) const PREDICTED: &str = "
    predict predic pradik predik forecast fcst prognos prognoz pronostic vorhersag vorhergesag prevision
    previsao previst predit voorspel ennust tahmin predpoved przewid predvid napoved elorejel прогноз предсказ
    予測 预测 預測 예측";

pub(super) const PREDICTED_EXACTLY: &str = "
    pred preds yhat ypred prevu prevue";

/// Prefixes of words for models and their indexes, not for predictions.
pub(super) const NOT_PREDICTED: &str = "
    predictor predictive predictab predicat";

pub(super) const ESTIMATED: &str = "
    score scoring estim expect inferen probab quote quoting output schatz schaetz geschatz stima stimat szacow
    odhad erwart esperad atteso attendu verwacht scor punteggio";

pub(super) const ESTIMATED_EXACTLY: &str = "
    p fc est prob proba eta puntuacion punkte";

/// Words for scores of a class that are features where a number is predicted.
pub(super) const SCORED: &str = "
    risk risks likelihood propensity odds pd risiko riesgo rischio risque";

/// Words that add nothing to a word of the lists above.
pub(super) const FILLING: &str = "
    model value val y raw final the mean median p50 q50 output valor wert valeur valore";

/// Words that change the meaning of a name when they begin or end it.
pub(super) const BESIDE: &str = "
    lower upper low high lo hi min max std sd se stddev var variance sigma error err residual interval ci n
    horizon lead step lag previous last old naive baseline weight latency elapsed version rank confidence
    uncertainty bound range width status type flag drift threshold prior";

pub(super) const ACTUAL: &str = "
    actual label outcome truth observ measure realized realised realizat effettiv osservat misurat medido mesur
    tatsach gemess beobacht werkelijk gemeten rzeczywist skutecn skutocn faktisk verklig toteutu gercek masurat
    obser факт 実績 实际 實際 실제";

pub(super) const ACTUAL_EXACTLY: &str = "
    true gt y ist istwert real reale reel reelle target observe";

pub(super) const KNOWN_LATER: &str = "
    settled result reading sold paid response resolved final realiz realis effective efectiv";

pub(super) const EVENT: &str = "
    event target interval valid delivery start date day hour time at ts ds datetime timestamp zeit datum fecha
    data heure hora dia czas giorno pickup departs due period";

/// Whole names of event times.
pub(super) const EVENT_ALONE: &str = "
    at ts ds time timestamp datetime date event_time event_at event_ts zeit datum fecha";

/// Times of events in the distant past.
pub(super) const HISTORY: &str = "
    last first previous prev birth born dob registered registration since signup joined opened expires expiry
    expired member account customer user manufactured built purchased";

/// Sorted by how well the word describes when a row became visible, best first.
pub(super) const ARRIVAL: &str = "
    inserted ingested loaded arrived received stored written added saved logged recorded published issued
    delivered created made generated produced computed calculated scored predicted forecasted inferred run known
    labeled labelled settled reported confirmed resolved finalized finalised verified available updated modified
    erstellt angelegt eingefugt geladen gespeichert creado insertado cree creato inserito criado inserido
    utworzono dodano creat inserat skapad oprettet aangemaakt";

/// Words that may accompany those of [`ARRIVAL`] without changing the meaning.
pub(super) const ABOUT_ARRIVAL: &str = "
    at on ts time timestamp date datetime dt utc row record db prediction predictions pred forecast label labels
    actual score result value model inference last is when was am el le il em la de job batch system sys";
