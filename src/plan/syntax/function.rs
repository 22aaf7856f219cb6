//! The functions that may be called. All are free of side effects and depend only on their arguments: recomputed history
//! must come out the same.

use crate::domain::name::{Identifier, TableName};

/// A user-defined function that the operator allows queries to call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Granted {
    pub schema: Identifier,
    pub name: Identifier,
}

impl Granted {
    /// Reads `schema.function`, written as in SQL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let written =
            TableName::parse(text).map_err(|_| format!("`{text}` is not a function: write `schema.function`"))?;
        Ok(Self { schema: written.schema, name: written.table })
    }
}

/// The functions that the operator allows, from `[database] allow_functions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(pub Vec<Granted>);

/// Parts of the grammar that look like functions. They have no schema.
const CONSTRUCTS: [&str; 5] = ["coalesce", "greatest", "grouping", "least", "nullif"];

/// Functions of `pg_catalog` that expressions may call: scalar functions of their arguments.
const SCALAR: [&str; 71] = [
    "abs",
    "acos",
    "asin",
    "atan",
    "atan2",
    "btrim",
    "cbrt",
    "ceil",
    "ceiling",
    "char_length",
    "concat",
    "concat_ws",
    "cos",
    "date_bin",
    "date_part",
    "date_trunc",
    "degrees",
    "div",
    "exp",
    "floor",
    "initcap",
    "isfinite",
    "json_extract_path_text",
    "jsonb_extract_path_text",
    "left",
    "length",
    "ln",
    "log",
    "log10",
    "lower",
    "lpad",
    "ltrim",
    "make_date",
    "make_interval",
    "make_time",
    "make_timestamp",
    "make_timestamptz",
    "md5",
    "mod",
    "num_nonnulls",
    "num_nulls",
    "octet_length",
    "pi",
    "position",
    "power",
    "radians",
    "regexp_replace",
    "replace",
    "reverse",
    "right",
    "round",
    "rpad",
    "rtrim",
    "sign",
    "sin",
    "split_part",
    "sqrt",
    "starts_with",
    "strpos",
    "substr",
    "substring",
    "tan",
    "tanh",
    "timezone",
    "to_char",
    "to_date",
    "to_number",
    "to_timestamp",
    "translate",
    "trunc",
    "upper",
];
/// In addition to [`SCALAR`], where the name is too long for its line.
const BUCKETS: &str = "width_bucket";

/// Functions of `pg_catalog` that queries may call as well: for rows, windows, JSON, arrays and text.
const IN_QUERIES: [&str; 97] = [
    "any_value",
    "age",
    "array_agg",
    "array_append",
    "array_cat",
    "array_length",
    "array_lower",
    "array_position",
    "array_prepend",
    "array_remove",
    "array_replace",
    "array_to_string",
    "array_upper",
    "avg",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "cardinality",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "cume_dist",
    "decode",
    "dense_rank",
    "encode",
    "every",
    "first_value",
    "format",
    "generate_series",
    "generate_subscripts",
    "json_agg",
    "json_array_elements",
    "json_array_elements_text",
    "json_array_length",
    "json_build_array",
    "json_build_object",
    "json_each",
    "json_each_text",
    "json_extract_path",
    "json_object_agg",
    "json_object_keys",
    "json_typeof",
    "jsonb_agg",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_array_length",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_extract_path",
    "jsonb_object_agg",
    "jsonb_object_keys",
    "jsonb_set",
    "jsonb_strip_nulls",
    "jsonb_typeof",
    "justify_days",
    "justify_hours",
    "justify_interval",
    "lag",
    "last_value",
    "lead",
    "max",
    "min",
    "mode",
    "nth_value",
    "ntile",
    "percent_rank",
    "percentile_cont",
    "percentile_disc",
    "rank",
    "regexp_match",
    "regexp_matches",
    "regexp_split_to_array",
    "regexp_split_to_table",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "row_number",
    "row_to_json",
    "sha256",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "string_to_array",
    "sum",
    "to_json",
    "to_jsonb",
    "unnest",
    "var_pop",
    "var_samp",
];

/// In addition to [`IN_QUERIES`]: newer or less common functions.
const MORE_IN_QUERIES: [&str; 7] =
    ["ascii", "regexp_count", "regexp_instr", "regexp_like", "regexp_substr", "string_to_table", "variance"];

/// Functions that may be used in place of a table.
const OF_ROWS: [&str; 15] = [
    "generate_series",
    "generate_subscripts",
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_object_keys",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_object_keys",
    "regexp_matches",
    "regexp_split_to_table",
    "unnest",
];

/// Functions whose result depends on the time, on chance or on the session; they get an error message of their own.
const NOT_OF_DATA: [&str; 19] = [
    "clock_timestamp",
    "current_date",
    "current_time",
    "current_timestamp",
    "current_user",
    "gen_random_uuid",
    "lastval",
    "localtime",
    "localtimestamp",
    "nextval",
    "now",
    "random",
    "random_normal",
    "session_user",
    "setseed",
    "statement_timestamp",
    "timeofday",
    "transaction_timestamp",
    "user",
];

/// A construct of the grammar, as it is printed.
pub fn construct(name: &str) -> Option<&'static str> {
    CONSTRUCTS.into_iter().find(|known| *known == name)
}

/// A function of `pg_catalog` that may be called, as it is printed.
pub fn builtin(name: &str, in_query: bool) -> Option<&'static str> {
    let everywhere = SCALAR.into_iter().chain([BUCKETS]);
    let in_queries = IN_QUERIES.into_iter().chain(MORE_IN_QUERIES).filter(|_| in_query);
    everywhere.chain(in_queries).find(|known| *known == name)
}

/// A function that may be used in place of a table.
pub fn of_rows(name: &str) -> Option<&'static str> {
    OF_ROWS.into_iter().find(|known| *known == name)
}

/// The reason why a function may not be called.
pub fn refusal(name: &str, in_query: bool) -> String {
    if NOT_OF_DATA.contains(&name) {
        return format!(
            "`{name}` is not allowed: its result depends on the time, on chance or on the session, and recomputed \
             history must not differ"
        );
    }
    match in_query {
        true => format!(
            "the function `{name}` is not allowed in a query; the operator can add it to `[database] allow_functions` \
             in trueup.toml"
        ),
        false => format!("the function `{name}` is not allowed in an expression"),
    }
}
