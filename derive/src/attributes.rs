//! The attributes of serde that the derive honours; every other one is refused where it stands.

use syn::{
    Attribute, Error, LitStr, Path, Result, Token, ext::IdentExt, meta::ParseNestedMeta,
    parse::ParseStream,
};

use crate::rename::Rule;

/// What stands in place of a field that is missing.
#[derive(Clone, Default)]
pub(crate) enum DefaultValue {
    #[default]
    None,
    Trait,
    Path(Path),
}

/// Of a type.
#[derive(Default)]
pub(crate) struct OfType {
    pub(crate) rename_all: Rule,
    pub(crate) rename_all_fields: Rule,
    pub(crate) deny_unknown_fields: bool,
    pub(crate) default: DefaultValue,
    pub(crate) tag: Option<LitStr>,
}

/// Of a field.
#[derive(Default)]
pub(crate) struct OfField {
    pub(crate) rename: Option<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) default: DefaultValue,
    pub(crate) skip: bool,
}

/// Of a variant.
#[derive(Default)]
pub(crate) struct OfVariant {
    pub(crate) rename: Option<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) rename_all: Option<Rule>,
    pub(crate) skip: bool,
}

impl OfType {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut of = Self::default();
        each(attributes, |word, meta| {
            match word {
                "rename_all" => of.rename_all = rule(meta)?.unwrap_or(of.rename_all),
                "rename_all_fields" => {
                    of.rename_all_fields = rule(meta)?.unwrap_or(of.rename_all_fields);
                }
                "deny_unknown_fields" => of.deny_unknown_fields = true,
                "default" => of.default = default_value(meta)?,
                "tag" => of.tag = Some(meta.value()?.parse()?),
                // The name of a type is not in its JSON; the others are of no effect here.
                "rename" | "crate" | "expecting" | "into" => pass(meta)?,
                _ => return Err(refused(meta, word)),
            }
            Ok(())
        })?;
        Ok(of)
    }
}

impl OfField {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut of = Self::default();
        each(attributes, |word, meta| {
            match word {
                "rename" => of.rename = for_reading(meta)?.or(of.rename.take()),
                "alias" => of.aliases.push(meta.value()?.parse::<LitStr>()?.value()),
                "default" => of.default = default_value(meta)?,
                "skip" | "skip_deserializing" => of.skip = true,
                // What can be borrowed always is; the others are for writing.
                "borrow" | "skip_serializing" | "skip_serializing_if" | "serialize_with" => {
                    pass(meta)?;
                }
                _ => return Err(refused(meta, word)),
            }
            Ok(())
        })?;
        Ok(of)
    }
}

impl OfVariant {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut of = Self::default();
        each(attributes, |word, meta| {
            match word {
                "rename" => of.rename = for_reading(meta)?.or(of.rename.take()),
                "alias" => of.aliases.push(meta.value()?.parse::<LitStr>()?.value()),
                "rename_all" => of.rename_all = rule(meta)?.or(of.rename_all),
                "skip" | "skip_deserializing" => of.skip = true,
                "borrow" | "skip_serializing" | "serialize_with" => pass(meta)?,
                _ => return Err(refused(meta, word)),
            }
            Ok(())
        })?;
        Ok(of)
    }
}

/// Gives every word in every `#[serde(...)]` to `take`.
fn each(
    attributes: &[Attribute],
    mut take: impl FnMut(&str, &ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            let word = meta.path.get_ident().map(|ident| ident.unraw().to_string());
            take(&word.unwrap_or_default(), &meta)
        })?;
    }
    Ok(())
}

fn refused(meta: &ParseNestedMeta<'_>, word: &str) -> Error {
    meta.error(format!(
        "#[derive(TwinMessage)] does not know `{word}`; derive Deserialize in its place, which \
         makes this type a message that serde reads"
    ))
}

/// Goes past the value of an attribute that changes nothing.
fn pass(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(Token![=]) {
        meta.value()?.parse::<LitStr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        meta.parse_nested_meta(|inner| inner.value()?.parse::<LitStr>().map(drop))?;
    }
    Ok(())
}

/// `word = "name"` or `word(deserialize = "name", serialize = "other")`.
fn for_reading(meta: &ParseNestedMeta<'_>) -> Result<Option<String>> {
    Ok(literal_for_reading(meta)?.map(|name| name.value()))
}

fn rule(meta: &ParseNestedMeta<'_>) -> Result<Option<Rule>> {
    let Some(word) = literal_for_reading(meta)? else { return Ok(None) };
    let rule = Rule::find(&word.value());
    rule.map(Some).ok_or_else(|| Error::new(word.span(), "serde has no such way to write names"))
}

fn literal_for_reading(meta: &ParseNestedMeta<'_>) -> Result<Option<LitStr>> {
    if meta.input.peek(Token![=]) {
        return meta.value()?.parse().map(Some);
    }
    let mut name = None;
    meta.parse_nested_meta(|inner| {
        let literal: LitStr = inner.value()?.parse()?;
        if inner.path.is_ident("deserialize") {
            name = Some(literal);
        } else if !inner.path.is_ident("serialize") {
            return Err(inner.error("expected `deserialize` or `serialize`"));
        }
        Ok(())
    })?;
    Ok(name)
}

fn default_value(meta: &ParseNestedMeta<'_>) -> Result<DefaultValue> {
    let input: ParseStream<'_> = meta.input;
    if !input.peek(Token![=]) {
        return Ok(DefaultValue::Trait);
    }
    let path: LitStr = meta.value()?.parse()?;
    path.parse_with(Path::parse_mod_style).map(DefaultValue::Path)
}
