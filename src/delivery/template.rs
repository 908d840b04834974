//! Payloads: what each delivery carries, made from the values of one generation.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value as Item, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use super::filters;
use super::{DeliveryError, DeliveryFault};
use crate::model::{Channel, Plan, SecretName, SecretRef};
use crate::secret::{SecretBytes, Value};

/// The payload of each of the plan's deliveries, in their order; or every fault. Nothing of a
/// value is kept: what templates leave behind is freed here, and so wiped.
pub fn render(
    plan: &Plan,
    values: &BTreeMap<SecretName, Rc<Value>>,
) -> Result<Vec<SecretBytes>, Vec<DeliveryError>> {
    let payloads = render_some(plan, values, |_| true)?;
    Ok(payloads.into_iter().flatten().collect())
}

/// As [`render`], of those deliveries alone whose index is wanted.
pub fn render_some(
    plan: &Plan,
    values: &BTreeMap<SecretName, Rc<Value>>,
    wanted: impl Fn(usize) -> bool,
) -> Result<Vec<Option<SecretBytes>>, Vec<DeliveryError>> {
    let mut payloads = Vec::with_capacity(plan.deliveries.len());
    let mut errors = Vec::new();
    for (index, delivery) in plan.deliveries.iter().enumerate() {
        if !wanted(index) {
            payloads.push(None);
            continue;
        }
        let payload = match &delivery.channel {
            Channel::Secret(reference) => raw(reference, values).map_err(|fault| vec![fault]),
            Channel::Template(source) => content(source, values),
        };
        match payload {
            Ok(payload) => payloads.push(Some(payload)),
            Err(faults) => errors.extend(
                faults
                    .into_iter()
                    .map(|fault| DeliveryError::of(delivery, fault)),
            ),
        }
    }
    if errors.is_empty() {
        Ok(payloads)
    } else {
        Err(errors)
    }
}

/// The secrets that a delivery shows. A template that cannot be read shows none: it is refused where
/// it is rendered.
pub fn uses(channel: &Channel) -> BTreeSet<SecretName> {
    let source = match channel {
        Channel::Secret(reference) => return BTreeSet::from([reference.secret.clone()]),
        Channel::Template(source) => source,
    };
    let environment = environment();
    let names = environment
        .template_from_str(source)
        .map(|template| used(&template.undeclared_variables(true)));
    let references = names.unwrap_or_default().into_iter();
    references.map(|reference| reference.secret).collect()
}

/// A value or a field as it is.
fn raw(
    reference: &SecretRef,
    values: &BTreeMap<SecretName, Rc<Value>>,
) -> Result<SecretBytes, DeliveryFault> {
    find(reference, values).map(|bytes| SecretBytes::new(bytes.expose().to_vec()))
}

fn find<'a>(
    reference: &SecretRef,
    values: &'a BTreeMap<SecretName, Rc<Value>>,
) -> Result<&'a SecretBytes, DeliveryFault> {
    let value = values
        .get(&reference.secret)
        .ok_or_else(|| DeliveryFault::NoSecret(reference.secret.clone()))?;
    match (&**value, &reference.field) {
        (Value::Raw(bytes), None) => Ok(bytes),
        (Value::Raw(_), Some(_)) => Err(DeliveryFault::NoFields(reference.clone())),
        (Value::Fields(_), None) => Err(DeliveryFault::ManyFields(reference.secret.clone())),
        (Value::Fields(fields), Some(field)) => fields
            .get(field)
            .ok_or_else(|| DeliveryFault::NoField(reference.clone())),
    }
}

/// What stands outside of tags is written as it is, a newline at the end as well.
fn verbatim() -> SyntaxConfig {
    SyntaxConfig::builder()
        .keep_trailing_newline(true)
        .build()
        .expect("the default delimiters are valid")
}

/// Templates as deliveries read them: strict, without escaping, with our filters alone.
fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_syntax(verbatim());
    // The default one writes a map as a listing of its fields, and bytes with losses.
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::String | ValueKind::Number | ValueKind::Bool | ValueKind::Undefined => {
            minijinja::escape_formatter(out, state, value)
        }
        ValueKind::Bytes => Err(filters::refused(filters::NOT_TEXT)),
        _ => Err(filters::refused(
            "a secret with fields cannot be written as a whole: name one of its fields",
        )),
    });
    filters::add_to(&mut environment);
    environment
}

fn content(
    source: &str,
    values: &BTreeMap<SecretName, Rc<Value>>,
) -> Result<SecretBytes, Vec<DeliveryFault>> {
    let environment = environment();
    let template = environment
        .template_from_str(source)
        .map_err(|error| vec![fault(&error)])?;
    let used = used(&template.undeclared_variables(true));
    let missing: Vec<_> = used
        .iter()
        .filter_map(|reference| missing(reference, source, values))
        .collect();
    if !missing.is_empty() {
        return Err(missing);
    }
    let context = context(&used, values);
    match template.render(context) {
        Ok(text) => Ok(SecretBytes::new(text.into_bytes())),
        Err(error) if refusal(&error) == Some(filters::NOT_TEXT) => {
            let named = not_text(&used, values);
            Err(vec![named.unwrap_or_else(|| fault(&error))])
        }
        Err(error) => Err(vec![fault(&error)]),
    }
}

/// The secrets and fields that a template names.
fn used(names: &std::collections::HashSet<String>) -> BTreeSet<SecretRef> {
    names
        .iter()
        .filter_map(|name| SecretRef::parse(name).ok())
        .collect()
}

/// Whether a name leads nowhere: the fault says where it stands.
fn missing(
    reference: &SecretRef,
    source: &str,
    values: &BTreeMap<SecretName, Rc<Value>>,
) -> Option<DeliveryFault> {
    let fault = match find(reference, values) {
        // The whole of a secret with fields: filters and subscripts take it.
        Ok(_) | Err(DeliveryFault::ManyFields(_)) => return None,
        Err(fault) => fault,
    };
    let name = reference.to_string();
    let before = source.find(&name).map(|offset| &source[..offset]);
    Some(DeliveryFault::Template {
        line: before.map_or(0, |text| text.matches('\n').count() + 1),
        why: format!("{name}: {fault}"),
    })
}

/// What a template sees: the secrets that it names, as text, or as bytes where they are not text.
fn context(used: &BTreeSet<SecretRef>, values: &BTreeMap<SecretName, Rc<Value>>) -> Item {
    let names: BTreeSet<_> = used.iter().map(|reference| &reference.secret).collect();
    let values = names
        .into_iter()
        .filter_map(|name| Some((name.as_str(), values.get(name)?)));
    Item::from_pairs(values.map(|(name, value)| (name, whole(value))))
}

fn whole(value: &Value) -> Item {
    match value {
        Value::Raw(bytes) => item(bytes),
        Value::Fields(fields) => Item::from_pairs(
            fields
                .iter()
                .map(|(name, bytes)| (name.as_str(), item(bytes))),
        ),
    }
}

fn item(bytes: &SecretBytes) -> Item {
    match std::str::from_utf8(bytes.expose()) {
        Ok(text) => Item::from(text),
        Err(_) => Item::from_bytes(bytes.expose().to_vec()),
    }
}

/// Which of the used values is not text.
fn not_text(
    used: &BTreeSet<SecretRef>,
    values: &BTreeMap<SecretName, Rc<Value>>,
) -> Option<DeliveryFault> {
    let is_text = |bytes: &SecretBytes| std::str::from_utf8(bytes.expose()).is_ok();
    used.iter().find_map(|reference| {
        let found = match (&**values.get(&reference.secret)?, &reference.field) {
            (Value::Fields(fields), None) => {
                let (field, _) = fields.iter().find(|(_, bytes)| !is_text(bytes))?;
                SecretRef {
                    secret: reference.secret.clone(),
                    field: Some(field.clone()),
                }
            }
            _ if is_text(find(reference, values).ok()?) => return None,
            _ => reference.clone(),
        };
        Some(DeliveryFault::NotText(found))
    })
}

/// A message of our own: minijinja's may quote values and the template.
fn fault(error: &Error) -> DeliveryFault {
    let why = match error.kind() {
        ErrorKind::SyntaxError | ErrorKind::InvalidDelimiter => "the template's syntax is wrong",
        ErrorKind::UndefinedError => "what is named here is not defined",
        ErrorKind::UnknownFilter => "no such filter",
        ErrorKind::UnknownFunction | ErrorKind::UnknownMethod => "templates have no functions here",
        ErrorKind::UnknownTest => "templates have no tests here",
        ErrorKind::MissingArgument | ErrorKind::TooManyArguments => {
            "a filter has the wrong number of arguments"
        }
        _ => refusal(error).unwrap_or("the template could not be rendered"),
    };
    DeliveryFault::Template {
        line: error.line().unwrap_or(0),
        why: why.to_owned(),
    }
}

/// What this room's filters and formatter said.
fn refusal(error: &Error) -> Option<&'static str> {
    let source = std::error::Error::source(error)?;
    source
        .downcast_ref::<filters::Refusal>()
        .map(|refusal| refusal.0)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{file, name, plan, secret, template, values};
    use super::*;

    fn rendered(content: &str) -> Result<Vec<u8>, String> {
        let plan = plan(vec![(file("/run/s/x"), template(content))]);
        match render(&plan, &values()) {
            Ok(payloads) => Ok(payloads[0].expose().to_vec()),
            Err(errors) => {
                let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
                Err(texts.join("\n"))
            }
        }
    }

    #[test]
    fn values_are_written_as_they_are() {
        let text = "host:5432:*:{{ db.username }}:{{ db['password'] | pgpass }}\n{{ token }}\n";
        let expected = b"host:5432:*:app:s3cr\\:t\nt0ken-value\n";
        assert_eq!(rendered(text).unwrap(), expected);
        let html = rendered("<{{ db.password | replace('s3', '<&\"') }}>").unwrap();
        assert_eq!(html, b"<<&\"cr:t>");
        let listed = "{% for k, v in [['a', token]] %}{{ k }}={{ v }}{% endfor %}";
        assert_eq!(rendered(listed).unwrap(), b"a=t0ken-value");
    }

    #[test]
    fn raw_deliveries_are_byte_exact() {
        let plan = plan(vec![
            (file("/run/s/a"), secret("binary")),
            (file("/run/s/b"), secret("db.blob")),
        ]);
        let payloads = render(&plan, &values()).ok().unwrap();
        assert_eq!(payloads[0].expose(), b"\xff\0\n");
        assert_eq!(payloads[1].expose(), b"\xff\0\xfe");
    }

    #[test]
    fn what_is_missing_is_never_empty_and_all_of_it_is_told() {
        let plan = plan(vec![
            (file("/run/s/a"), template("x\n{{ db.pasword }}{{ nope }}")),
            (file("/run/s/b"), secret("db.port")),
            (file("/run/s/c"), secret("db")),
            (file("/run/s/d"), secret("token.x")),
        ]);
        let errors = render(&plan, &values()).err().unwrap();
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "1:5: file /run/s/a: content, line 2: db.pasword: the secret db has no field \
                 \"pasword\"",
                "1:5: file /run/s/a: content, line 2: nope: the secret nope has no value",
                "2:5: file /run/s/b: the secret db has no field \"port\"",
                "3:5: file /run/s/c: the secret db has fields: name one, as in db.FIELD",
                "4:5: file /run/s/d: the secret token is one raw value without fields: write \
                 token, or give it a `format`",
            ]
        );
        assert!(
            errors
                .iter()
                .all(|error| error.exit() == crate::model::Exit::Value)
        );
    }

    #[test]
    fn a_name_that_only_rendering_finds_missing_has_its_line() {
        let error = rendered("\n\n{{ db[token] }}").unwrap_err();
        assert!(
            error.contains("content, line 3: what is named here is not defined"),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_text_is_refused_by_name_unless_it_is_encoded() {
        for content in [
            "{{ binary }}",
            "{{ binary | trim }}",
            "a{{ binary | shell }}",
        ] {
            let error = rendered(content).unwrap_err();
            assert!(
                error.contains("the value of binary is not UTF-8"),
                "{error}"
            );
        }
        let error = rendered("{{ db.blob }}").unwrap_err();
        assert!(error.contains("db.blob is not UTF-8"), "{error}");
        let error = rendered("{{ db | json }}").unwrap_err();
        assert!(error.contains("db.blob is not UTF-8"), "{error}");
        assert_eq!(rendered("{{ binary | b64encode }}").unwrap(), b"/wAK");
        assert_eq!(rendered("{{ binary | hex }}").unwrap(), b"ff000a");
        assert_eq!(
            rendered("{{ binary | b64encode | b64decode | hex }}").unwrap(),
            b"ff000a"
        );
        // A field that nobody names is nobody's fault.
        assert!(rendered("{{ db.password }}").is_ok());
    }

    #[test]
    fn no_message_has_a_value_or_the_template_in_it() {
        for content in [
            "{{ db }}",
            "{{ db | upper }}",
            "{{ token | nofilter }}",
            "{{ token() }}",
            "{{ token.x.y }}",
            "{{ token + 1 }}",
            "{{ token / 2 }}",
            "{{ [token] }}",
            "{{ token | indent(token) }}",
            "{{ token | b64decode }}",
            "{{ token is nosuchtest }}",
            "{{ db.password | indent('UNIQUE-TEXT') }}",
            "{% include token %}",
            "{{ token ",
            "{% for x in token %}{{ x.y }}{% endfor %}",
        ] {
            let error = rendered(content).unwrap_err();
            for leaked in ["t0ken", "s3cr", "UNIQUE"] {
                assert!(!error.contains(leaked), "{content}: {error}");
            }
        }
    }

    #[test]
    fn nothing_can_stand_in_for_a_missing_value() {
        for content in [
            "{{ nope | default('x') }}",
            "{{ token.x or 'x' }}",
            "{% if token.x %}{% endif %}",
            "{% if token.x is defined %}{% endif %}",
        ] {
            assert!(rendered(content).is_err(), "{content}");
        }
    }

    #[test]
    fn filters_and_their_list_agree() {
        let environment = environment();
        for filter in crate::model::template::FILTERS {
            let source = format!("{{{{ token | {filter} }}}}");
            let template = environment.template_from_str(&source).unwrap();
            let context = context(&used(&["token".to_owned()].into()), &values());
            let kind = template.render(context).err().map(|error| error.kind());
            assert_ne!(kind, Some(ErrorKind::UnknownFilter), "{filter}");
        }
        let added = include_str!("filters.rs")
            .matches("environment.add_filter(")
            .count();
        assert_eq!(added, crate::model::template::FILTERS.len());
        assert!(crate::model::template::FILTERS.is_sorted());
        assert_eq!(name("token").as_str(), "token");
    }
}
