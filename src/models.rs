//! The stock models.
