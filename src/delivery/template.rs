//! Payloads: what each delivery carries, made from the values of one generation.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memchr::memmem;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value as Item, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use super::items::{self, Notes};
use super::{DeliveryError, DeliveryFault, describe, filters};
use crate::model::template::Template;
use crate::model::template::filter;
use crate::model::{Channel, Plan, SecretName, SecretRef};
use crate::secret::{Field, SecretBytes, Value};

/// What a template may make of values, in bytes.
const MAX_OUTPUT: usize = 64 << 20;

/// How much a template may do: one instruction, or 64 bytes that are read or written, is one. Beside
/// it, each byte of the values may be used so often.
const FUEL: u64 = 500_000;
const USES: u64 = 16;

/// Rendered payloads, and what is odd about them.
pub struct Rendered<P> {
    /// In the order of the deliveries.
    pub payloads: Vec<P>,
    /// What to warn of: `file /run/app/x: …`; never a value.
    pub warnings: Vec<String>,
}

/// The payload of each of the plan's deliveries, in their order; or every fault. Nothing of a
/// value is kept: what templates leave behind is freed here, and so wiped.
pub fn render(
    plan: &Plan,
    values: &BTreeMap<SecretName, Rc<Value>>,
) -> Result<Rendered<SecretBytes>, Vec<DeliveryError>> {
    let Rendered { payloads, warnings } = render_some(plan, values, |_| true)?;
    Ok(Rendered {
        payloads: payloads.into_iter().flatten().collect(),
        warnings,
    })
}

/// As [`render`], of those deliveries alone whose index is wanted.
pub fn render_some(
    plan: &Plan,
    values: &BTreeMap<SecretName, Rc<Value>>,
    wanted: impl Fn(usize) -> bool,
) -> Result<Rendered<Option<SecretBytes>>, Vec<DeliveryError>> {
    let mut payloads = Vec::with_capacity(plan.deliveries.len());
    let mut warnings = Vec::new();
    let mut errors = Vec::new();
    for (index, delivery) in plan.deliveries.iter().enumerate() {
        if !wanted(index) {
            payloads.push(None);
            continue;
        }
        let payload = match &delivery.channel {
            Channel::Secret(reference) => raw(reference, values).map_err(|fault| vec![fault]),
            Channel::Template(template) => {
                let content = Content {
                    plan,
                    values,
                    template,
                    source: template.text(),
                };
                content.render().map(|(payload, line_ends)| {
                    if let Some(odd) = line_ends {
                        warnings.push(format!(
                            "{}: {}: {odd}",
                            delivery.at,
                            describe(&delivery.kind)
                        ));
                    }
                    payload
                })
            }
        };
        match payload {
            Ok(payload) => payloads.push(Some(payload)),
            Err(faults) => {
                // One that ran away is enough: all of them run before signals are heard again.
                let over = faults
                    .iter()
                    .any(|fault| matches!(fault, DeliveryFault::TooMuch(_)));
                errors.extend(
                    faults
                        .into_iter()
                        .map(|fault| DeliveryError::of(delivery, fault)),
                );
                if over {
                    break;
                }
            }
        }
    }
    if errors.is_empty() {
        Ok(Rendered { payloads, warnings })
    } else {
        Err(errors)
    }
}

/// A value or a field as it is.
fn raw(
    reference: &SecretRef,
    values: &BTreeMap<SecretName, Rc<Value>>,
) -> Result<SecretBytes, DeliveryFault> {
    find(reference, values).map(|field| SecretBytes::new(field.expose().to_vec()))
}

fn find(
    reference: &SecretRef,
    values: &BTreeMap<SecretName, Rc<Value>>,
) -> Result<Field, DeliveryFault> {
    let value = values
        .get(&reference.secret)
        .ok_or_else(|| DeliveryFault::NoSecret(reference.secret.clone()))?;
    match (&**value, &reference.field) {
        (Value::Raw(field), None) => Ok(field.copy()),
        (Value::Raw(_), Some(_)) => Err(DeliveryFault::NoFields(reference.clone())),
        (Value::Fields(_), None) => Err(DeliveryFault::ManyFields(reference.secret.clone())),
        (value, Some(field)) => value
            .find(field)
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

/// What a rendering and its output share.
#[derive(Clone, Default)]
struct Shared {
    notes: Arc<Notes>,
    /// The next piece of output is a value that ends with a line end.
    line_end: Arc<AtomicBool>,
}

/// Templates as deliveries read them: strict, without escaping, with our filters alone.
fn environment<'source>(shared: &Shared) -> Environment<'source> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_syntax(verbatim());
    let Shared { notes, line_end } = shared.clone();
    // The default one writes a map as a listing of its fields, and bytes with losses.
    environment.set_formatter(move |out, state, value| match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            line_end.store(text.ends_with('\n'), Ordering::Relaxed);
            out.write_str(text).map_err(Error::from)
        }
        ValueKind::Undefined => minijinja::escape_formatter(out, state, value),
        ValueKind::Bytes => Err(filters::refused(filters::NOT_TEXT)),
        _ => match notes.text(value) {
            Some(text) => out.write_str(&text).map_err(Error::from),
            None if items::record(value).is_some() => Err(filters::refused(
                "a secret with fields cannot be written as a whole: name one of its fields, or use \
                 the filter json",
            )),
            None => Err(filters::refused(
                "this is no text: name a member of it, or use the filter json",
            )),
        },
    });
    filters::add_to(&mut environment, &shared.notes);
    environment
}

/// Where the output goes.
#[derive(Default)]
struct Sink {
    bytes: Vec<u8>,
    line_end: Arc<AtomicBool>,
    /// The last piece was a value that ends with a line end.
    after_line_end: bool,
    /// Text follows such a value on what was meant to be its line.
    amid: bool,
}

impl io::Write for Sink {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > MAX_OUTPUT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if let (Some(first), true) = (piece.first(), self.after_line_end) {
            let goes_on = matches!(first, b'\n' | b'\r') || piece.starts_with(BEGIN);
            self.amid |= !goes_on;
        }
        self.after_line_end = self.line_end.swap(false, Ordering::Relaxed)
            || (piece.is_empty() && self.after_line_end);
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a PEM block starts: RFC 7468.
const BEGIN: &[u8] = b"-----BEGIN ";

/// Blocks that were put together without a line end between them get one: no reader takes
/// `-----END X----------BEGIN Y-----` for two.
fn part_pem(bytes: Vec<u8>) -> SecretBytes {
    const JOINED: &[u8] = b"----------BEGIN ";
    if memmem::find(&bytes, JOINED).is_none() {
        return SecretBytes::new(bytes);
    }
    let bytes = SecretBytes::new(bytes);
    let (mut rest, mut out) = (bytes.expose(), Vec::with_capacity(bytes.len() + 64));
    while let Some(at) = memmem::find(rest, JOINED) {
        let (before, after) = rest.split_at(at + 5);
        out.extend_from_slice(before);
        if memmem::rfind(before, b"-----END ").is_some_and(|end| !before[end..].contains(&b'\n')) {
            out.push(b'\n');
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    SecretBytes::new(out)
}

/// A template and what it is rendered with.
struct Content<'a> {
    plan: &'a Plan,
    values: &'a BTreeMap<SecretName, Rc<Value>>,
    template: &'a Template,
    source: &'a str,
}

impl Content<'_> {
    /// The payload, and what is odd about the line ends in it.
    fn render(&self) -> Result<(SecretBytes, Option<String>), Vec<DeliveryFault>> {
        let shared = Shared::default();
        let mut environment = environment(&shared);
        let used = self.template.names();
        let missing: Vec<_> = used
            .iter()
            .filter_map(|reference| missing(reference, self.source, self.values))
            .collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        environment.set_fuel(Some(self.fuel(used)));
        let context = self.context(used, &shared.notes);
        let payload = match self.bytes(&environment, &context) {
            Some(bytes) => bytes.map(|bytes| (bytes, false)),
            None => self.text(&environment, context, &shared),
        };
        let (payload, amid) = payload.map_err(|fault| vec![self.named(fault, used)])?;
        if let Some(name) = shared.notes.empty() {
            return Err(vec![self.empty(&name)]);
        }
        let odd = amid || shared.notes.has_line_end();
        Ok((payload, odd.then(|| self.line_ends(used))))
    }

    /// Content that is one insertion of bytes is these bytes: as `{{ keystore | b64decode }}`.
    fn bytes(
        &self,
        environment: &Environment<'_>,
        context: &Item,
    ) -> Option<Result<SecretBytes, DeliveryFault>> {
        let (expression, after) = only_insertion(self.source)?;
        let expression = environment.compile_expression(expression).ok()?;
        let value = expression.eval(context.clone()).ok()?;
        let bytes = value
            .as_bytes()
            .filter(|_| value.kind() == ValueKind::Bytes)?;
        Some(if after.is_empty() {
            Ok(SecretBytes::new(bytes.to_vec()))
        } else {
            Err(DeliveryFault::Template {
                line: 1,
                why:
                    "a line end follows the bytes, and would be one more of them: write `content: \
                      \"{{ … }}\"` on one line, or `content: |-`"
                        .to_owned(),
            })
        })
    }

    fn text(
        &self,
        environment: &Environment<'_>,
        context: Item,
        shared: &Shared,
    ) -> Result<(SecretBytes, bool), DeliveryFault> {
        let template = environment.template_from_str(self.source);
        let template = template.map_err(|error| fault(&error, self.source))?;
        let mut sink = Sink {
            line_end: Arc::clone(&shared.line_end),
            ..Sink::default()
        };
        let rendered = template.render_captured_to(context, &mut sink).map(drop);
        match rendered {
            Ok(()) => Ok((part_pem(sink.bytes), sink.amid)),
            Err(error) => {
                drop(SecretBytes::new(sink.bytes));
                Err(fault(&error, self.source))
            }
        }
    }

    fn fuel(&self, used: &BTreeSet<SecretRef>) -> u64 {
        let names: BTreeSet<_> = used.iter().map(|reference| &reference.secret).collect();
        let values = names.into_iter().filter_map(|name| self.values.get(name));
        let sizes = values.flat_map(|value| value.parts().into_iter().map(SecretBytes::len));
        let bytes = sizes.sum::<usize>() + self.source.len();
        FUEL + bytes as u64 * USES / 64
    }

    /// What a template sees: the secrets that it names.
    fn context(&self, used: &BTreeSet<SecretRef>, notes: &Arc<Notes>) -> Item {
        let named: BTreeSet<_> = used.iter().map(|reference| &reference.secret).collect();
        // The engine does not tell of what is sliced: `db.hosts[:2]`.
        let sliced = |name: &SecretName| self.source.contains(&format!("{name}."));
        let values = self.values.iter();
        let values = values.filter(|(name, _)| named.contains(name) || sliced(name));
        Item::from_pairs(values.map(|(name, value)| {
            let checks = self.plan.secrets.get(name).map(|spec| &spec.checks);
            let may_be_empty =
                |field: &str| checks.is_some_and(|checks| checks.least(Some(field)) == Some(0));
            (name.as_str(), notes.secret(value, may_be_empty))
        }))
    }

    /// Which value is no text, where it is one of the template's own.
    fn named(&self, fault: DeliveryFault, used: &BTreeSet<SecretRef>) -> DeliveryFault {
        match &fault {
            DeliveryFault::Template { why, .. } if why == filters::NOT_TEXT => {
                not_text(used, self.values).unwrap_or(fault)
            }
            _ => fault,
        }
    }

    /// A name that the template does not have itself is the store's, and not repeated.
    fn empty(&self, name: &str) -> DeliveryFault {
        let written = [format!("'{name}'"), format!("\"{name}\"")];
        let place = written.iter().find_map(|name| self.source.find(name));
        let what = place.map_or_else(|| "a field".to_owned(), |_| format!("the field {name}"));
        DeliveryFault::Template {
            line: place.map_or(0, |at| self.source[..at].matches('\n').count() + 1),
            why: format!(
                "{what} is empty: give it a value, or allow it by `check: {{ min_length: 0 }}` on the \
                 secret"
            ),
        }
    }

    /// Names the values that end with a line end.
    fn line_ends(&self, used: &BTreeSet<SecretRef>) -> String {
        let ends = |reference: &&SecretRef| {
            let found = find(reference, self.values);
            found.is_ok_and(|field| field.expose().ends_with(b"\n"))
        };
        let names: Vec<String> = used.iter().filter(ends).map(ToString::to_string).collect();
        let whose = match names.as_slice() {
            [] => "a value".to_owned(),
            names => format!("the value of {}", names.join(" and ")),
        };
        format!(
            "{whose} ends with a line end, which stays in it where it is inserted: set `trim: true` on \
             the secret, or use the filter `trim`"
        )
    }
}

/// The expression of content that is one insertion whose last filter gives bytes, and what follows it:
/// line ends at most.
fn only_insertion(source: &str) -> Option<(&str, &str)> {
    let inner = source.strip_prefix("{{")?;
    let (expression, after) = inner.split_once("}}")?;
    let expression = expression.trim_matches(['-', '+']).trim();
    let mut filters = expression.rsplit('|').map(str::trim);
    let gives_bytes =
        matches!(filters.next(), Some("b64decode" | "raw")) && filters.next().is_some();
    (gives_bytes && after.trim_matches(['\r', '\n']).is_empty()).then_some((expression, after))
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

/// Which of the used values is not text. Of a whole secret no field is named: its names are the
/// store's.
fn not_text(
    used: &BTreeSet<SecretRef>,
    values: &BTreeMap<SecretName, Rc<Value>>,
) -> Option<DeliveryFault> {
    let is_text = |bytes: &SecretBytes| std::str::from_utf8(bytes.expose()).is_ok();
    used.iter().find_map(|reference| {
        let all = match (&**values.get(&reference.secret)?, &reference.field) {
            (Value::Fields(fields), None) => fields.values().all(|field| is_text(field)),
            _ => is_text(&*find(reference, values).ok()?),
        };
        (!all).then(|| DeliveryFault::NotText(reference.clone()))
    })
}

/// A message of our own: minijinja's may quote values and the template.
fn fault(error: &Error, source: &str) -> DeliveryFault {
    let line = error.line().unwrap_or(0);
    match error.kind() {
        ErrorKind::OutOfFuel => return DeliveryFault::TooMuch("the template takes too long"),
        ErrorKind::WriteFailure => {
            return DeliveryFault::TooMuch("the template writes over 64 MiB");
        }
        ErrorKind::MissingArgument | ErrorKind::TooManyArguments => {
            let why = wrong_arguments(source, line);
            return DeliveryFault::Template { line, why };
        }
        _ => {}
    }
    let why = match error.kind() {
        ErrorKind::SyntaxError | ErrorKind::InvalidDelimiter => "invalid template",
        ErrorKind::UndefinedError => {
            "what is named here is not defined: a name with other characters than letters, digits \
             and _ is written as in db['tls-key']"
        }
        ErrorKind::UnknownFilter => "unknown filter",
        ErrorKind::UnknownFunction | ErrorKind::UnknownMethod => "templates have no functions here",
        ErrorKind::UnknownTest => "templates have no tests here",
        _ => refusal(error).unwrap_or("the template could not be rendered"),
    };
    DeliveryFault::Template {
        line,
        why: why.to_owned(),
    }
}

/// Names the filters of the line: minijinja does not say which one it is.
fn wrong_arguments(source: &str, line: usize) -> String {
    let text = source
        .lines()
        .nth(line.saturating_sub(1))
        .unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split('|').skip(1).map(str::trim_start);
    let words = words.map(|word| word.split(|c| !is_name(c)).next().unwrap_or_default());
    let names: BTreeSet<_> = words.filter(|word| filter(word).is_some()).collect();
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    let which = match &*names {
        [] => "a filter".to_owned(),
        [name] => format!("the filter {name}"),
        names => format!("one of the filters {}", names.join(", ")),
    };
    format!("{which} has the wrong number of arguments: `hushpipe help templates`")
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
    use crate::model::template::FILTERS;

    fn bytes(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes().to_vec())
    }

    /// `db` is a JSON object.
    fn typed(json: &str) -> BTreeMap<SecretName, Rc<Value>> {
        let parts: BTreeMap<String, Box<serde_json::value::RawValue>> =
            serde_json::from_str(json).unwrap();
        let field = |part: &str| match serde_json::from_str::<String>(part) {
            Ok(text) => bytes(&text).into(),
            Err(_) => Field::json(bytes(part)),
        };
        let fields = parts
            .iter()
            .map(|(name, part)| (name.clone(), field(part.get())));
        BTreeMap::from([(name("db"), Rc::new(Value::Fields(fields.collect())))])
    }

    fn rendered(content: &str) -> Result<Vec<u8>, String> {
        rendered_with(content, &values())
    }

    fn rendered_with(
        content: &str,
        values: &BTreeMap<SecretName, Rc<Value>>,
    ) -> Result<Vec<u8>, String> {
        let plan = plan(vec![(file("/run/s/x"), template(content))]);
        match render(&plan, values) {
            Ok(rendered) => Ok(rendered.payloads[0].expose().to_vec()),
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
        let payloads = render(&plan, &values()).ok().unwrap().payloads;
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
        // The names of fields are the store's, and a value may look like one.
        assert!(error.contains("the value of db is not UTF-8"), "{error}");
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
    fn a_filter_with_the_wrong_number_of_arguments_is_named() {
        for (content, named) in [
            (
                "\n{{ token | replace('a') }}",
                "line 2: the filter `replace` has",
            ),
            (
                "{{ token | trim | indent }}",
                "line 1: one of the filters `indent`, `trim` has",
            ),
        ] {
            let error = rendered(content).unwrap_err();
            assert!(error.contains(named), "{error}");
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
        for filter in FILTERS {
            let source = filter.example.replace("{{ v", "{{ token");
            assert!(source.contains(filter.name), "{}", filter.name);
            let mut values = typed(r#"{"port":5432,"user":"app"}"#);
            values.insert(name("token"), Rc::new(Value::bytes(bytes(filter.value))));
            let rendered = rendered_with(&source, &values);
            assert_eq!(
                rendered.as_deref(),
                Ok(filter.result.as_bytes()),
                "{}",
                filter.name
            );
        }
        let added = include_str!("filters.rs")
            .matches("environment.add_filter(")
            .count();
        assert_eq!(added, FILTERS.len());
        assert!(FILTERS.iter().map(|filter| filter.name).is_sorted());
    }

    #[test]
    fn json_keeps_its_types_and_numbers_their_text() {
        let json = r#"{"big":123456789012345678901234567890123456789012,"c":1.0,"d":1.00,"e":1e3,
            "huge":1.50e+400,"id":9007199254740993,"list":["a",1.10,{"x":null}],"n":-0,"no":false,
            "p":5432,"pool":{"max":7,"name":"x y","tag":"a\/\u00e9"},"q":0.10,"text":"false"}"#;
        let values = typed(json);
        for (content, written) in [
            (
                "{{ db.big }} {{ db.c }} {{ db.d }} {{ db.e }} {{ db.huge }} {{ db.n }} {{ db.q }}",
                "123456789012345678901234567890123456789012 1.0 1.00 1e3 1.50e+400 -0 0.10",
            ),
            (
                "{{ db.id }} {{ db.id | json }} {{ db.id | shell }}",
                "9007199254740993 9007199254740993 '9007199254740993'",
            ),
            (
                "{% if db.no %}on{% else %}off{% endif %} {% if db.text %}on{% endif %}",
                "off on",
            ),
            (
                "{% if db.p == 5432 and db.p < 60000 and db.e > 999 and db.q < 0.2 %}y{% endif %}",
                "y",
            ),
            (
                "{{ db.no }} {{ db.no | json }} {{ db.text | json }}",
                "false false \"false\"",
            ),
            (
                "{{ db.list }}|{{ db.list | json }}|{{ db.list[1] }}|{{ db.list[0] }}",
                r#"["a",1.10,{"x":null}]|["a",1.10,{"x":null}]|1.10|a"#,
            ),
            ("{% for x in db.list[:2] %}{{ x }},{% endfor %}", "a,1.10,"),
            (
                "{{ db.pool.max + 1 }} {{ db.pool.name | json }} {{ db.pool | json }}",
                "8 \"x y\" {\"max\":7,\"name\":\"x y\",\"tag\":\"a/\u{e9}\"}",
            ),
            (
                "{% for name in db.pool %}{{ name }};{% endfor %}",
                "max;name;tag;",
            ),
            (
                "{{ [db.c, db.no, db.text] | json }}",
                "[1.0,false,\"false\"]",
            ),
            ("{{ db.e | b64encode }} {{ db.pool.max | hex }}", "MWUz 37"),
        ] {
            let rendered = rendered_with(content, &values).unwrap();
            assert_eq!(String::from_utf8(rendered).unwrap(), written, "{content}");
        }
        let whole = rendered_with("{{ db | json }}", &values).unwrap();
        let whole = String::from_utf8(whole).unwrap();
        for part in [
            "\"d\":1.00",
            "\"huge\":1.50e+400",
            "\"n\":-0",
            "\"id\":9007199254740993",
        ] {
            assert!(whole.contains(part), "{whole}");
        }
        for content in [
            "{{ db.list[2].x }}",
            "{{ db.gone }}",
            "{{ db.pool.gone }}",
            "{{ db }}",
        ] {
            assert!(rendered_with(content, &values).is_err(), "{content}");
        }
    }

    #[test]
    fn names_with_dots_and_hyphens_lead_to_their_fields() {
        let values = typed(r#"{"tls.crt":"C","tls.key":"K","a-b":"D","x":{"y.z":"E"}}"#);
        let content = "{{ db.tls.crt }}{{ db['tls.key'] }}{{ db['a-b'] }}{{ db.x['y.z'] }}";
        assert_eq!(rendered_with(content, &values).unwrap(), b"CKDE");
        for content in ["{{ db.tls }}", "{{ db.tls.pem }}", "{{ db['a-c'] }}"] {
            assert!(rendered_with(content, &values).is_err(), "{content}");
        }
    }

    #[test]
    fn one_insertion_may_be_bytes() {
        let values = typed(r#"{"k":"/wAK","t":"c2VjcmV0"}"#);
        assert_eq!(
            rendered_with("{{ db.k | b64decode }}", &values).unwrap(),
            b"\xff\0\n"
        );
        assert_eq!(
            rendered_with("{{- db['k']|b64decode|raw -}}", &values).unwrap(),
            b"\xff\0\n"
        );
        assert_eq!(
            rendered_with("{{ db.t | b64decode }}\n", &values).unwrap(),
            b"secret\n"
        );
        let error = rendered_with("{{ db.k | b64decode }}\n", &values).unwrap_err();
        assert!(error.contains("a line end follows the bytes"), "{error}");
        for content in [
            "x{{ db.k | b64decode }}",
            "{{ db.k | b64decode }}{{ db.t }}",
        ] {
            assert!(rendered_with(content, &values).is_err(), "{content}");
        }
        assert_eq!(rendered("{{ binary | raw }}").unwrap(), b"\xff\0\n");
    }

    fn warnings(content: &str, value: &str) -> Vec<String> {
        let values = BTreeMap::from([(name("v"), Rc::new(Value::bytes(bytes(value))))]);
        let plan = plan(vec![(file("/run/s/x"), template(content))]);
        render(&plan, &values).ok().unwrap().warnings
    }

    #[test]
    fn a_line_end_within_a_line_is_warned_of() {
        for content in [
            "PWD={{ v }};x",
            "{{ v }}{{ v }}",
            "a={{ v | json }}",
            "{{ v | shell }}\n",
        ] {
            let told = warnings(content, "s3cr3t\n");
            assert_eq!(told.len(), 1, "{content}");
            assert!(told[0].contains("file /run/s/x: the value of v ends with a line end"));
            assert!(told[0].contains("trim: true") && !told[0].contains("s3cr3t"));
            assert!(warnings(content, "s3cr3t").is_empty());
        }
        for content in [
            "{{ v }}",
            "a={{ v }}\n",
            "{{ v | trim }};",
            "{{ v | b64encode }}",
        ] {
            assert!(warnings(content, "s3cr3t\n").is_empty(), "{content}");
        }
        let pem = "-----BEGIN X-----\nAA==\n-----END X-----\n";
        for content in ["{{ v }}{{ v }}", "{{ v | json }}"] {
            assert!(warnings(content, pem).is_empty(), "{content}");
        }
    }

    #[test]
    fn pem_blocks_that_are_put_together_stay_apart() {
        let pem = "-----BEGIN X-----\nAA==\n-----END X-----";
        let values = BTreeMap::from([(name("v"), Rc::new(Value::bytes(bytes(pem))))]);
        for content in ["{{ v }}{{ v }}{{ v }}", "{{ v }}\n{{ v }}\n{{ v }}"] {
            let rendered = rendered_with(content, &values).unwrap();
            assert_eq!(rendered, [pem; 3].join("\n").as_bytes());
        }
        let other = rendered_with("x----------BEGIN Y", &values).unwrap();
        assert_eq!(other, b"x----------BEGIN Y");
    }

    #[test]
    fn an_empty_field_is_refused_however_it_is_named() {
        let values = typed(r#"{"a":"","b":"x"}"#);
        let error = rendered_with("\n{{ db['a'] }}", &values).unwrap_err();
        assert!(error.contains("line 2: the field a is empty"), "{error}");
        let error = rendered_with("{% for n in db %}{{ db[n] }}{% endfor %}", &values).unwrap_err();
        assert!(error.contains("a field is empty"), "{error}");
        assert!(rendered_with("{{ db.b }}{{ db | json }}", &values).is_ok());
    }

    #[test]
    fn what_a_template_does_has_a_bound() {
        let loops = |depth: usize| {
            let begin = "{% for a in [1,1,1,1,1,1,1,1,1,1] %}".repeat(depth);
            format!("{begin}x{}", "{% endfor %}".repeat(depth))
        };
        let error = rendered(&loops(9)).unwrap_err();
        assert!(
            error.contains("file /run/s/x: content: the template takes too long"),
            "{error}"
        );
        assert_eq!(rendered(&loops(3)).unwrap().len(), 1000);
        let values = BTreeMap::from([(
            name("v"),
            Rc::new(Value::bytes(bytes(&"x".repeat(8 << 20)))),
        )]);
        assert!(rendered_with("{{ v | urlencode }}{{ v | b64encode }}", &values).is_ok());
        let error = rendered_with(&"{{ v }}".repeat(9), &values).unwrap_err();
        assert!(
            error.contains("over 64 MiB") || error.contains("takes too long"),
            "{error}"
        );
    }
}
