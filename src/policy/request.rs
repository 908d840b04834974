//! A query as Cedar takes it: by value throughout.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression};

use super::attributes::octal;
use super::compiled::{Compiled, Damaged};
use super::scope::Subject;
use super::uid::{Kind, Types, Uid};
use crate::model::query::{
    self, Facts, Manifest, Person, Principal, Program, Query, Resource, Time,
};

/// Cedar's request and entities.
pub struct Asked {
    pub request: Request,
    pub entities: Entities,
}

/// The principal of a query, with its roles or groups.
pub fn principal(of: &Principal, entities: &Compiled) -> Result<Subject, Damaged> {
    let mut above = BTreeSet::new();
    let uid = match of {
        Principal::Service(service) => Uid::new(Kind::Service, &service.name),
        Principal::Person(person) => {
            for group in &person.groups {
                let group = Uid::new(Kind::Group, group);
                entities.add_above(&group, &mut above)?;
                above.insert(group);
            }
            Uid::new(Kind::Person, &person.name)
        }
    };
    entities.add_above(&uid, &mut above)?;
    Ok(Subject { uid, above })
}

/// The resource of a query.
pub fn resource(query: &Query, entities: &Compiled) -> Result<Subject, Damaged> {
    let uid = match &query.resource {
        Resource::Secret(secret) => Uid::new(Kind::Secret, &secret.name),
        Resource::Service(service) => Uid::new(Kind::Service, &service.name),
    };
    let mut above = BTreeSet::new();
    entities.add_above(&uid, &mut above)?;
    Ok(Subject { uid, above })
}

/// Makes both. `others` are entities that policies name, each with what it is in. The error says what
/// Cedar refused: a program's fault, as the types are all fixed here.
pub fn asked(
    types: &Types,
    query: &Query,
    (principal, resource): (&Subject, &Subject),
    others: &BTreeMap<Uid, BTreeSet<Uid>>,
) -> Result<Asked, String> {
    let site = types.uid(Kind::Site, "site");
    let context = context(&query.context, &site).map_err(|error| error.to_string())?;
    let mut entities = vec![
        Make::of_principal(query).entity(types, principal)?,
        Make::of_resource(query).entity(types, resource)?,
        entity(&site, [], [], &query.context.facts.site)?,
    ];
    // A service may look at its own status.
    if principal.uid == resource.uid {
        entities.remove(1);
    }
    for (uid, above) in others {
        if *uid != principal.uid && *uid != resource.uid {
            let parents = above.iter().map(|uid| types.uid(uid.kind, &uid.id));
            let none = BTreeMap::new();
            entities.push(entity(&types.uid(uid.kind, &uid.id), [], parents, &none)?);
        }
    }
    let request = Request::new(
        types.uid(principal.uid.kind, &principal.uid.id),
        types.action(query.action.word()),
        types.uid(resource.uid.kind, &resource.uid.id),
        context,
        None,
    );
    Ok(Asked {
        request: request.map_err(|error| error.to_string())?,
        entities: Entities::from_entities(entities, None).map_err(|error| error.to_string())?,
    })
}

type Pair = (String, RestrictedExpression);

struct Make<'q> {
    attributes: Vec<Pair>,
    labels: Option<&'q BTreeMap<String, String>>,
}

impl<'q> Make<'q> {
    fn of_principal(query: &'q Query) -> Self {
        match &query.principal {
            Principal::Service(service) => Self::of_service(service),
            Principal::Person(Person {
                name,
                uid,
                groups: _,
                interactive,
            }) => Self {
                attributes: vec![
                    text("name", name),
                    number("uid", i64::from(*uid)),
                    flag("interactive", *interactive),
                ],
                labels: None,
            },
        }
    }

    fn of_resource(query: &'q Query) -> Self {
        match &query.resource {
            Resource::Service(service) => Self::of_service(service),
            Resource::Secret(secret) => Self {
                attributes: vec![
                    text("name", &secret.name),
                    text("store", &secret.store),
                    text("store_type", &secret.store_type),
                    text("path", &secret.path),
                    text("classification", &secret.classification),
                    text("owner", &secret.owner),
                    text("environment", &secret.environment),
                    number("age", secret.age),
                ],
                labels: Some(&secret.labels),
            },
        }
    }

    fn of_service(service: &'q query::Service) -> Self {
        Self {
            attributes: vec![
                text("name", &service.name),
                text("owner", &service.owner),
                text("environment", &service.environment),
            ],
            labels: Some(&service.labels),
        }
    }

    fn entity(self, types: &Types, subject: &Subject) -> Result<Entity, String> {
        let parents = subject.above.iter();
        let parents = parents.map(|uid| types.uid(uid.kind, &uid.id));
        let none = BTreeMap::new();
        entity(
            &types.uid(subject.uid.kind, &subject.uid.id),
            self.attributes,
            parents,
            self.labels.unwrap_or(&none),
        )
    }
}

fn entity(
    uid: &EntityUid,
    attributes: impl IntoIterator<Item = Pair>,
    parents: impl IntoIterator<Item = EntityUid>,
    labels: &BTreeMap<String, String>,
) -> Result<Entity, String> {
    let tags = labels.iter().map(|(key, value)| text(key, value));
    Entity::new_with_tags(uid.clone(), attributes, parents, tags).map_err(|error| error.to_string())
}

fn context(
    context: &query::Context,
    site: &EntityUid,
) -> Result<Context, Box<dyn std::error::Error>> {
    let query::Context {
        deliveries,
        isolation,
        mode,
        occasion,
        facts,
        time,
    } = context;
    let Time {
        hour,
        weekday,
        unix,
    } = time;
    let time = record([
        number("hour", i64::from(*hour)),
        number("weekday", i64::from(*weekday)),
        number("unix", *unix),
    ])?;
    let mut pairs = vec![
        texts("deliveries", deliveries),
        text("isolation", isolation),
        text("mode", mode),
        text("occasion", occasion),
        ("time".to_owned(), time),
        (
            "site".to_owned(),
            RestrictedExpression::new_entity_uid(site.clone()),
        ),
    ];
    self::facts(facts, &mut pairs)?;
    Ok(Context::from_pairs(pairs)?)
}

fn facts(facts: &Facts, pairs: &mut Vec<Pair>) -> Result<(), Box<dyn std::error::Error>> {
    let Facts {
        program,
        arguments_sha256,
        shown: _,
        user,
        uid,
        login_uid,
        unit,
        container,
        pod,
        host,
        in_host_namespaces,
        environment,
        site: _,
        manifest,
        terminal,
        reason,
        break_glass,
    } = facts;
    let Manifest {
        path,
        sha256,
        variables,
        variables_sha256,
        signed_by,
    } = manifest;
    let manifest = record([
        text("path", path),
        text("sha256", sha256),
        texts("variables", variables),
        text("variables_sha256", variables_sha256),
        text("signed_by", signed_by),
    ])?;
    pairs.extend([
        ("program".to_owned(), self::program(program)?),
        text("arguments_sha256", arguments_sha256),
        text("user", user),
        number("uid", i64::from(*uid)),
        number("login_uid", *login_uid),
        text("unit", unit),
        text("container", container),
        text("pod", pod),
        text("host", host),
        text("environment", environment),
        ("manifest".to_owned(), manifest),
        flag("in_host_namespaces", *in_host_namespaces),
        flag("terminal", *terminal),
        text("reason", reason),
        flag("break_glass", *break_glass),
    ]);
    Ok(())
}

fn program(program: &Program) -> Result<RestrictedExpression, Box<dyn std::error::Error>> {
    let Program {
        path,
        argv0,
        sha256,
        pinned,
        interpreter,
        interpreter_sha256,
        owner,
        mode,
    } = program;
    record([
        text("path", path),
        text("argv0", argv0),
        text("sha256", sha256),
        flag("pinned", *pinned),
        text("interpreter", interpreter),
        text("interpreter_sha256", interpreter_sha256),
        number("owner", i64::from(*owner)),
        text("mode", &octal(*mode)),
    ])
}

fn record(
    pairs: impl IntoIterator<Item = Pair>,
) -> Result<RestrictedExpression, Box<dyn std::error::Error>> {
    Ok(RestrictedExpression::new_record(pairs)?)
}

fn text(name: &str, value: &str) -> Pair {
    let value = RestrictedExpression::new_string(value.to_owned());
    (name.to_owned(), value)
}

fn texts(name: &str, values: &[String]) -> Pair {
    let values = values.iter().cloned();
    let set = RestrictedExpression::new_set(values.map(RestrictedExpression::new_string));
    (name.to_owned(), set)
}

fn number(name: &str, value: i64) -> Pair {
    (name.to_owned(), RestrictedExpression::new_long(value))
}

fn flag(name: &str, value: bool) -> Pair {
    (name.to_owned(), RestrictedExpression::new_bool(value))
}
