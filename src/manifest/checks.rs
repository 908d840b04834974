//! `check:` of a secret.

use std::collections::BTreeMap;

use super::build::{Builder, Fields};
use super::decode::Spanned;
use super::records::{Check, FieldCheck, Secret};
use super::values::Pattern;
use crate::model::{Checks, FieldChecks};

impl Builder<'_> {
    /// Checks of fields need fields, and checks of the whole a value that has none.
    pub fn checks_fit(&mut self, secret: &Secret, fields: Fields) {
        let Some(check) = secret.check.get() else {
            return;
        };
        let named = check
            .fields
            .get()
            .is_some_and(|fields| !fields.0.is_empty());
        if let (Some(span), Fields::None(why), true) = (check.fields.key, fields, named) {
            self.fault(span, "this secret has no fields to check", why);
        }
        // `min_length: 0` is leave for every field to be empty.
        let min_length = check.min_length.key;
        let whole = [
            check.pattern.key,
            min_length.filter(|_| check.min_length.get() != Some(&0)),
            check.max_length.key,
            check.json.key,
            check.certificate.key,
        ];
        if let (Fields::Always, Some(span)) = (fields, whole.into_iter().flatten().next()) {
            let message = "this secret has fields, so it has no value of its own to check";
            let help = "name the field: check: { fields: { NAME: { min_length: 20 } } }";
            self.fault(span, message, help);
        }
    }

    /// As the plan has them.
    pub fn checks(&mut self, check: &Check) -> Checks {
        let whole = self.field_checks(&FieldCheckRef::from(check));
        let mut fields = BTreeMap::new();
        for (_, name, field) in check.fields.get().map_or(&[][..], |table| &table.0) {
            if let Some(check) = field.get() {
                let checks = self.field_checks(&FieldCheckRef::from(check));
                fields.insert(name.0.clone(), checks);
            }
        }
        Checks { whole, fields }
    }

    fn field_checks(&mut self, check: &FieldCheckRef<'_>) -> FieldChecks {
        let lengths = (check.min_length.get(), check.max_length.get());
        if let (Some(min), Some(max)) = lengths
            && min > max
        {
            let help = "make min_length the smaller one";
            self.fault(
                check.min_length.span,
                "min_length is above max_length",
                help,
            );
        }
        let length = |field: &Spanned<u64>| field.get().map(|length| *length as usize);
        FieldChecks {
            pattern: check.pattern.get().map(|pattern| pattern.0.clone()),
            min_length: length(check.min_length),
            max_length: length(check.max_length),
            json: check.json.get().copied().unwrap_or_default(),
            certificate: check.certificate.get().copied().unwrap_or_default(),
        }
    }
}

/// The checks that values and fields share.
struct FieldCheckRef<'c> {
    pattern: &'c Spanned<Pattern>,
    min_length: &'c Spanned<u64>,
    max_length: &'c Spanned<u64>,
    json: &'c Spanned<bool>,
    certificate: &'c Spanned<bool>,
}

macro_rules! shared_checks {
    ($record:ty) => {
        impl<'c> From<&'c $record> for FieldCheckRef<'c> {
            fn from(check: &'c $record) -> Self {
                Self {
                    pattern: &check.pattern,
                    min_length: &check.min_length,
                    max_length: &check.max_length,
                    json: &check.json,
                    certificate: &check.certificate,
                }
            }
        }
    };
}
shared_checks!(Check);
shared_checks!(FieldCheck);
