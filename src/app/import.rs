//! What `hushpipe secret import` reads: NAME=value lines, JSON, and what the command lines of other secret
//! managers print as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Map, Value as Json};

use crate::model::ValueFormat;
use crate::secret::{SecretBytes, Value};
use crate::stores::format;

/// Names and values; the error says what is wrong and what to do, without values.
type Members = Result<Vec<(String, SecretBytes)>, String>;

/// Reads a file's bytes. Without a format, bytes that begin with `{` or `[` are JSON.
pub fn members(bytes: SecretBytes, format: Option<ValueFormat>) -> Members {
    let start = bytes.expose().trim_ascii_start();
    if start.is_empty() {
        return Err("nothing to import: check the command before the pipe".to_owned());
    }
    let looks_json = start.starts_with(b"{") || start.starts_with(b"[");
    let read = match format {
        Some(ValueFormat::Json) => flat(bytes, true)?,
        None if looks_json => of_json(bytes)?,
        _ => format::dotenv(&bytes).map_err(|error| error.to_string())?,
    };
    for (name, value) in &read {
        if let Some(why) = placeholder(value.expose()) {
            return Err(format!("{name}: {why}"));
        }
    }
    Ok(read)
}

/// What is no value but stands for one.
fn placeholder(value: &[u8]) -> Option<&'static str> {
    if value.starts_with(b"op://") {
        Some("a reference of 1Password: `op inject -i FILE | hushpipe secret import -`")
    } else if value.starts_with(b"ENC[AES256_GCM") {
        Some("encrypted by sops: `sops -d FILE | hushpipe secret import -`")
    } else {
        None
    }
}

/// JSON of a tool that is known by its keys; else an object of names and values.
fn of_json(bytes: SecretBytes) -> Members {
    // The memory of what is parsed is wiped when it is freed, as all of this process is.
    let parsed = serde_json::from_slice::<Json>(bytes.expose());
    match parsed {
        Ok(Json::Object(root)) => match of_tool(&root) {
            Some(members) => members,
            None => flat(bytes, false),
        },
        Ok(_) => {
            Err("a list: import takes an object of names and values (jq makes one)".to_owned())
        }
        Err(_) => flat(bytes, false),
    }
}

fn of_tool(root: &Map<String, Json>) -> Option<Members> {
    let text = |key: &str| root.get(key).and_then(Json::as_str);
    if let Some(inner) = root.get("SecretString").and_then(Json::as_str) {
        return Some(match serde_json::from_str::<Json>(inner) {
            Ok(Json::Object(_)) => flat(SecretBytes::new(inner.as_bytes().to_vec()), false),
            _ => Err("SecretString is not a JSON object: add --query SecretString --output text to aws, and \
                      pipe that into `hushpipe secret set NAME --trim`"
                .to_owned()),
        });
    }
    if root.contains_key("SecretBinary") {
        return Some(Err(
            "SecretBinary is one value: add --query SecretBinary --output text to aws, and pipe \
                         that through `base64 -d` into `hushpipe secret set NAME`"
                .to_owned(),
        ));
    }
    if let Some(Json::Array(parameters)) = root.get("Parameters") {
        return Some(Ok(each(parameters, |one| {
            Some((one.get("Name")?, one.get("Value")?))
        })));
    }
    if root.get("Parameter").is_some_and(Json::is_object) {
        let one = std::slice::from_ref(root.get("Parameter")?);
        return Some(Ok(each(one, |one| {
            Some((one.get("Name")?, one.get("Value")?))
        })));
    }
    if let (Some(Json::Array(fields)), true) = (root.get("fields"), root.contains_key("category")) {
        return Some(Ok(each(fields, |one| {
            Some((
                one.get("label").or_else(|| one.get("id"))?,
                one.get("value")?,
            ))
        })));
    }
    if let (Some("Secret"), Some(_)) = (text("kind"), text("apiVersion")) {
        return Some(of_kubernetes(root));
    }
    if let (Some(name), Some(payload)) = (text("name"), root.get("payload")) {
        return Some(of_gcloud(name, payload));
    }
    if root.contains_key("request_id") || root.contains_key("lease_id") {
        return Some(of_vault(root));
    }
    if root.contains_key("sops") {
        return Some(Err(
            "encrypted by sops: `sops -d FILE | hushpipe secret import -`".to_owned(),
        ));
    }
    None
}

/// Items of a list, each with a name and a text.
fn each<'a>(
    items: &'a [Json],
    pick: impl Fn(&'a Json) -> Option<(&'a Json, &'a Json)>,
) -> Vec<(String, SecretBytes)> {
    let pairs = items.iter().filter_map(pick);
    let pairs = pairs.filter_map(|(name, value)| Some((name.as_str()?, value.as_str()?)));
    pairs
        .map(|(name, value)| {
            let name = name.trim_matches('/').to_owned();
            (name, SecretBytes::new(value.as_bytes().to_vec()))
        })
        .collect()
}

/// `kubectl get secret NAME -o json`.
fn of_kubernetes(root: &Map<String, Json>) -> Members {
    let mut members = Vec::new();
    if let Some(Json::Object(data)) = root.get("data") {
        for (name, value) in data {
            let decoded = value.as_str().and_then(|text| STANDARD.decode(text).ok());
            let decoded = decoded.ok_or_else(|| format!("{name}: not base64"))?;
            members.push((name.clone(), SecretBytes::new(decoded)));
        }
    }
    if let Some(Json::Object(plain)) = root.get("stringData") {
        for (name, value) in plain {
            let text = value.as_str().unwrap_or_default();
            members.push((name.clone(), SecretBytes::new(text.as_bytes().to_vec())));
        }
    }
    Ok(members)
}

/// `gcloud secrets versions access VERSION --secret NAME --format json`.
fn of_gcloud(name: &str, payload: &Json) -> Members {
    let mut parts = name.split('/').skip_while(|part| *part != "secrets");
    let name = parts.nth(1).ok_or("the answer of gcloud names no secret")?;
    let data = payload
        .get("data")
        .and_then(Json::as_str)
        .unwrap_or_default();
    let decoded = STANDARD.decode(data).or_else(|_| URL_SAFE.decode(data));
    let decoded = decoded.map_err(|_| format!("{name}: not base64"))?;
    Ok(vec![(name.to_owned(), SecretBytes::new(decoded))])
}

/// `vault kv get -format=json PATH`, and OpenBao's: `data.data` of KV version 2, `data` of version 1.
fn of_vault(root: &Map<String, Json>) -> Members {
    let data = root.get("data").and_then(Json::as_object);
    let data = data.ok_or("the answer has no data")?;
    let inner = match (data.get("data"), data.get("metadata")) {
        (Some(Json::Object(inner)), Some(_)) => inner,
        _ => data,
    };
    let bytes = serde_json::to_vec(inner).map_err(|_| "the data cannot be written as JSON")?;
    flat(SecretBytes::new(bytes), false)
}

/// The members of an object; of each that is an object the `computed` text, as Doppler prints. Other objects
/// and lists are JSON text where the caller wants that.
fn flat(bytes: SecretBytes, nested: bool) -> Members {
    let copy = |bytes: &SecretBytes| SecretBytes::new(bytes.expose().to_vec());
    let value = format::read(bytes, ValueFormat::Json).map_err(|error| error.to_string())?;
    let Value::Fields(fields) = value else {
        return Err("one value without a name: `hushpipe secret set NAME` takes it".to_owned());
    };
    let mut members = Vec::new();
    for (name, field) in fields {
        if !field.has_members() {
            members.push((name, copy(&field)));
            continue;
        }
        let inner = format::read(copy(&field), ValueFormat::Json).ok();
        match inner.and_then(|inner| inner.field("computed").map(|text| copy(text))) {
            Some(text) => members.push((name, text)),
            None if nested => members.push((name, copy(&field))),
            None => {
                return Err(format!(
                    "{name} is an object or a list: pick its values (jq), or store it as JSON text by \
                     --format json"
                ));
            }
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let members = members(SecretBytes::new(text.as_bytes().to_vec()), None)?;
        let text = |bytes: &SecretBytes| String::from_utf8(bytes.expose().to_vec()).unwrap();
        Ok(members
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect())
    }

    /// As the tools print it, shortened to what counts.
    #[test]
    fn what_other_tools_print_is_understood() {
        for (tool, text) in [
            (
                "op",
                r#"{"id":"x","title":"db","category":"LOGIN","vault":{"id":"v"},"fields":[
                {"id":"password","type":"CONCEALED","label":"password","value":"hunter2"},
                {"id":"notesPlain","type":"STRING","label":"notesPlain"}]}"#,
            ),
            (
                "doppler",
                r#"{"password":{"computed":"hunter2","raw":"hunter2","note":""}}"#,
            ),
            ("doppler download", r#"{"password":"hunter2"}"#),
            (
                "aws",
                r#"{"ARN":"arn:aws:x","Name":"db","SecretString":"{\"password\":\"hunter2\"}"}"#,
            ),
            (
                "aws ssm",
                r#"{"Parameters":[{"Name":"/password","Type":"SecureString","Value":"hunter2"}]}"#,
            ),
            (
                "aws ssm one",
                r#"{"Parameter":{"Name":"password","Value":"hunter2"}}"#,
            ),
            (
                "gcloud",
                r#"{"name":"projects/1/secrets/password/versions/3","payload":{"data":"aHVudGVyMg=="}}"#,
            ),
            (
                "kubectl",
                r#"{"apiVersion":"v1","kind":"Secret","data":{"password":"aHVudGVyMg=="}}"#,
            ),
            (
                "vault kv2",
                r#"{"request_id":"r","lease_id":"","data":{"data":{"password":"hunter2"},"metadata":{}}}"#,
            ),
            (
                "vault kv1",
                r#"{"request_id":"r","lease_id":"","data":{"password":"hunter2"}}"#,
            ),
            ("lines", "password=hunter2\n"),
        ] {
            let expected = vec![("password".to_owned(), "hunter2".to_owned())];
            assert_eq!(read(text), Ok(expected), "{tool}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_to_do_and_without_values() {
        for (text, cure) in [
            (
                r#"{"SecretString":"hunter2"}"#,
                "hushpipe secret set NAME --trim",
            ),
            (r#"{"SecretBinary":"aHVudGVyMg=="}"#, "base64 -d"),
            (r#"{"a":{"b":"hunter2"}}"#, "--format json"),
            (r#"["hunter2"]"#, "jq"),
            ("DB=op://Dev/hunter2\n", "op inject"),
            (
                r#"{"DB":"ENC[AES256_GCM,data:hunter2]","sops":{"mac":"x"}}"#,
                "sops -d",
            ),
            ("DB=ENC[AES256_GCM,data:hunter2]\n", "sops -d"),
            ("", "nothing to import"),
            (" \n", "nothing to import"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(cure), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_object_is_text_where_that_is_wanted() {
        let bytes = SecretBytes::new(br#"{"a":{"b":1}}"#.to_vec());
        let read = members(bytes, Some(ValueFormat::Json)).unwrap();
        assert_eq!(read[0].1.expose(), br#"{"b":1}"#);
    }
}
