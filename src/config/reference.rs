//! `${env:NAME}` and `${file:PATH}` in string values. `$${` stands for `${` itself.

use zeroize::Zeroizing;

use super::{
    environment::Environment,
    error::{ConfigError, Place},
    node::{Node, Value},
};

/// A file named by a reference holds a secret or a setting, not data.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A string with its references replaced.
pub(super) fn resolve(
    text: &str,
    place: &Place,
    environment: &Environment,
) -> Result<Node, ConfigError> {
    let mut value = String::with_capacity(text.len());
    let (mut rest, mut references) = (text, 0);
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            value.push_str(before);
            value.push_str("${");
            rest = &from[2..];
            continue;
        }
        value.push_str(before);
        let Some((name, after)) = from[2..].split_once('}') else {
            let sentence = "a reference begins with \"${\" and has no \"}\"; write \"$${\" for \
                            the characters themselves";
            return Err(ConfigError::new(sentence).at(place));
        };
        value.push_str(&look_up(name, environment).map_err(|error| error.at(place))?);
        (rest, references) = (after, references + 1);
    }
    value.push_str(rest);
    let loose = references == 1 && text.starts_with("${") && text.find('}') == Some(text.len() - 1);
    let mut node = Node::new(Value::Text { text: value.into(), loose }, place.clone());
    node.reference = (references > 0).then(|| text.to_owned());
    Ok(node)
}

fn look_up(name: &str, environment: &Environment) -> Result<Zeroizing<String>, ConfigError> {
    match name.split_once(':') {
        Some(("env", name)) => match environment.get(name) {
            Some(value) => Ok(value.to_owned().into()),
            None => {
                Err(ConfigError::new(format!("the environment variable \"{name}\" is not set")))
            }
        },
        Some(("file", path)) => read(path),
        _ => Err(ConfigError::new(format!(
            "\"${{{name}}}\" is no reference; there are ${{env:NAME}} and ${{file:PATH}}"
        ))),
    }
}

fn read(path: &str) -> Result<Zeroizing<String>, ConfigError> {
    let wrong = |why: String| ConfigError::new(format!("the file \"{path}\" {why}"));
    let about = std::fs::metadata(path).map_err(|error| wrong(format!("has no text: {error}")))?;
    if about.len() > FILE_BYTES_MAX {
        let found = about.len();
        return Err(wrong(format!("has {found} bytes, the limit is {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| wrong(format!("has no text: {error}")))?;
    let text = Zeroizing::new(text);
    // Editors end a file with a line break; no secret does.
    Ok(text.trim_end_matches(['\r', '\n']).to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<(String, bool, bool), String> {
        let environment = Environment::from([("USER_NAME", "ann"), ("N", "2")]);
        let node = resolve(text, &Place::Flag("t"), &environment);
        match node.map_err(|error| error.to_string())? {
            Node { value: Value::Text { text, loose }, reference, .. } => {
                Ok((text.to_string(), loose, reference.is_some()))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn references_are_replaced_and_remembered() {
        assert_eq!(resolved("plain $5").unwrap(), ("plain $5".into(), false, false));
        assert_eq!(resolved("${env:N}").unwrap(), ("2".into(), true, true));
        assert_eq!(resolved("a-${env:USER_NAME}-${env:N}").unwrap().0, "a-ann-2");
        assert_eq!(resolved("$${env:N}").unwrap(), ("${env:N}".into(), false, false));
    }

    #[test]
    fn what_is_no_reference_is_said() {
        let no = "t: the environment variable \"NO\" is not set";
        assert_eq!(resolved("${env:NO}").unwrap_err(), no);
        assert!(resolved("${vault:a}").unwrap_err().contains("is no reference"));
        assert!(resolved("${env:A").unwrap_err().contains("has no \"}\""));
        assert!(resolved("${file:/no/such}").unwrap_err().contains("\"/no/such\" has no text"));
    }

    #[test]
    fn a_file_gives_its_text_without_the_last_line_break() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret\n").unwrap();
        let text = format!("${{file:{}}}", file.path().display());
        assert_eq!(resolved(&text).unwrap(), ("secret".into(), true, true));
    }
}
