//! All colors of drawings.
