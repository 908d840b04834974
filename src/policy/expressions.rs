//! Policies as bytes: Cedar's own tree of a policy (`cedar_policy::pst`), from which Cedar makes what it
//! evaluates without reading a text. Annotations are left out: [`super::rule::Rule`] has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::Policy;
use cedar_policy::pst::{
    self, ActionConstraint, BinaryOp, Clause, Effect, EntityOrSlot, EntityType, EntityUID, Expr,
    Literal, PatternElem, PrincipalConstraint, ResourceConstraint, StaticPolicy, Template, UnaryOp,
    Var,
};

use super::bytes::{Reader, Writer};
use super::uid::Types;

/// A tree that is deeper is kept as text: no stack is at risk.
const DEEPEST: usize = 200;

const VARS: [Var; 4] = [Var::Principal, Var::Action, Var::Resource, Var::Context];

const UNARY: [UnaryOp; 3] = [UnaryOp::Not, UnaryOp::Neg, UnaryOp::IsEmpty];

const BINARY: [BinaryOp; 17] = [
    BinaryOp::Eq,
    BinaryOp::NotEq,
    BinaryOp::Less,
    BinaryOp::LessEq,
    BinaryOp::Greater,
    BinaryOp::GreaterEq,
    BinaryOp::And,
    BinaryOp::Or,
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::In,
    BinaryOp::Contains,
    BinaryOp::ContainsAll,
    BinaryOp::ContainsAny,
    BinaryOp::GetTag,
    BinaryOp::HasTag,
];

/// What an expression is, by its first byte.
mod tag {
    pub const BOOL: u8 = 0;
    pub const LONG: u8 = 1;
    pub const STRING: u8 = 2;
    pub const ENTITY: u8 = 3;
    pub const VAR: u8 = 4;
    pub const UNARY: u8 = 5;
    pub const BINARY: u8 = 6;
    pub const GET: u8 = 7;
    pub const HAS: u8 = 8;
    pub const LIKE: u8 = 9;
    pub const IS: u8 = 10;
    pub const IF: u8 = 11;
    pub const SET: u8 = 12;
    pub const RECORD: u8 = 13;
}

/// The tree of a policy. `None`: Cedar has none for it.
pub fn tree(policy: &Policy) -> Option<Template> {
    Some(policy.to_pst().ok()?.body().clone())
}

/// Shows an expression, and where that is true each of its parts, in the order of the text.
pub fn visit(expression: &Expr, see: &mut dyn FnMut(&Expr) -> bool) {
    if !see(expression) {
        return;
    }
    let mut all = |parts: &[&Arc<Expr>]| parts.iter().for_each(|part| visit(part, see));
    match expression {
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => all(&[expr]),
        Expr::BinaryOp { left, right, .. } => all(&[left, right]),
        Expr::Is { expr, in_expr, .. } => {
            all(&[expr]);
            all(&in_expr.iter().collect::<Vec<_>>());
        }
        Expr::IfThenElse {
            cond,
            then_expr,
            else_expr,
        } => all(&[cond, then_expr, else_expr]),
        Expr::Set(parts) => all(&parts.iter().collect::<Vec<_>>()),
        Expr::Record(parts) => all(&parts.values().collect::<Vec<_>>()),
        _ => {}
    }
}

/// Whether a condition reads an attribute of this name, of whatever.
pub fn reads(tree: &Template, name: &str) -> bool {
    let mut found = false;
    for clause in tree.clauses() {
        let (Clause::When(expression) | Clause::Unless(expression)) = clause;
        visit(expression, &mut |part| {
            found |= matches!(part, Expr::GetAttr { attr, .. } if attr == name);
            !found
        });
    }
    found
}

/// A tree as bytes. `None`: something in it has no form in bytes.
pub fn encode(tree: &Template, types: &Types) -> Option<Vec<u8>> {
    let mut to = Encoder {
        types,
        to: Writer::default(),
        depth: 0,
    };
    to.template(tree)?;
    Some(to.to.0)
}

/// The policy of such bytes, under a name. `None`: they are not such bytes.
pub fn decode(bytes: &[u8], types: &Types, id: &str) -> Option<Policy> {
    let mut from = Decoder {
        types,
        from: Reader::new(bytes),
    };
    let tree = from.template(id)?;
    let policy = StaticPolicy::try_from(tree).ok()?;
    Policy::from_pst(pst::Policy::Static(policy)).ok()
}

struct Encoder<'t> {
    types: &'t Types,
    to: Writer,
    depth: usize,
}

/// A constraint of principal or resource, whichever it is.
type Part<'t> = (u8, Option<&'t EntityType>, Option<&'t EntityOrSlot>);

impl Encoder<'_> {
    fn template(&mut self, tree: &Template) -> Option<()> {
        self.to.flag(tree.effect == Effect::Forbid);
        self.part(match &tree.principal {
            PrincipalConstraint::Any => (0, None, None),
            PrincipalConstraint::Eq(entity) => (1, None, Some(entity)),
            PrincipalConstraint::In(entity) => (2, None, Some(entity)),
            PrincipalConstraint::Is(kind) => (3, Some(kind), None),
            PrincipalConstraint::IsIn(kind, entity) => (4, Some(kind), Some(entity)),
        })?;
        self.actions(&tree.action)?;
        self.part(match &tree.resource {
            ResourceConstraint::Any => (0, None, None),
            ResourceConstraint::Eq(entity) => (1, None, Some(entity)),
            ResourceConstraint::In(entity) => (2, None, Some(entity)),
            ResourceConstraint::Is(kind) => (3, Some(kind), None),
            ResourceConstraint::IsIn(kind, entity) => (4, Some(kind), Some(entity)),
        })?;
        self.to.count(tree.clauses().len());
        tree.clauses().iter().try_for_each(|clause| {
            let (unless, expression) = match clause {
                Clause::When(expression) => (false, expression),
                Clause::Unless(expression) => (true, expression),
            };
            self.to.flag(unless);
            self.expression(expression)
        })
    }

    fn part(&mut self, (form, kind, entity): Part<'_>) -> Option<()> {
        self.to.byte(form);
        if let Some(kind) = kind {
            self.kind(kind)?;
        }
        match entity {
            None => Some(()),
            Some(EntityOrSlot::Entity(entity)) => self.entity(entity),
            // A policy of a directory is no template.
            Some(EntityOrSlot::Slot(_)) => None,
        }
    }

    fn actions(&mut self, actions: &ActionConstraint) -> Option<()> {
        match actions {
            ActionConstraint::Any => self.to.byte(0),
            ActionConstraint::Eq(action) => {
                self.to.byte(1);
                self.entity(action)?;
            }
            ActionConstraint::In(actions) => {
                self.to.byte(2);
                self.to.count(actions.len());
                actions.iter().try_for_each(|action| self.entity(action))?;
            }
        }
        Some(())
    }

    fn kind(&mut self, kind: &EntityType) -> Option<()> {
        self.to.byte(self.types.place(kind)?);
        Some(())
    }

    fn entity(&mut self, entity: &EntityUID) -> Option<()> {
        self.kind(&entity.ty)?;
        self.to.text(&entity.eid);
        Some(())
    }

    fn expression(&mut self, expression: &Expr) -> Option<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        self.node(expression)?;
        self.depth -= 1;
        Some(())
    }

    fn node(&mut self, expression: &Expr) -> Option<()> {
        match expression {
            Expr::Literal(literal) => self.literal(literal)?,
            Expr::Var(var) => {
                self.to.byte(tag::VAR);
                self.place(&VARS, var)?;
            }
            Expr::UnaryOp { op, expr } => {
                self.to.byte(tag::UNARY);
                self.place(&UNARY, op)?;
                self.expression(expr)?;
            }
            Expr::BinaryOp { op, left, right } => {
                self.to.byte(tag::BINARY);
                self.place(&BINARY, op)?;
                self.expression(left)?;
                self.expression(right)?;
            }
            Expr::GetAttr { expr, attr } => {
                self.to.byte(tag::GET);
                self.to.text(attr);
                self.expression(expr)?;
            }
            Expr::HasAttr { expr, attrs } => {
                self.to.byte(tag::HAS);
                self.to.text(&attrs.head);
                self.to.count(attrs.tail.len());
                attrs.tail.iter().for_each(|attr| self.to.text(attr));
                self.expression(expr)?;
            }
            Expr::Like { expr, pattern } => {
                self.to.byte(tag::LIKE);
                self.pattern(pattern);
                self.expression(expr)?;
            }
            other => self.compound(other)?,
        }
        Some(())
    }

    /// What has several parts; all else has no form here.
    fn compound(&mut self, expression: &Expr) -> Option<()> {
        match expression {
            Expr::Is {
                expr,
                entity_type,
                in_expr,
            } => {
                self.to.byte(tag::IS);
                self.kind(entity_type)?;
                self.to.flag(in_expr.is_some());
                self.expression(expr)?;
                in_expr.iter().try_for_each(|expr| self.expression(expr))
            }
            Expr::IfThenElse {
                cond,
                then_expr,
                else_expr,
            } => {
                self.to.byte(tag::IF);
                [cond, then_expr, else_expr]
                    .into_iter()
                    .try_for_each(|expr| self.expression(expr))
            }
            Expr::Set(all) => {
                self.to.byte(tag::SET);
                self.to.count(all.len());
                all.iter().try_for_each(|one| self.expression(one))
            }
            Expr::Record(all) => {
                self.to.byte(tag::RECORD);
                self.to.count(all.len());
                all.iter().try_for_each(|(name, one)| {
                    self.to.text(name);
                    self.expression(one)
                })
            }
            _ => None,
        }
    }

    fn literal(&mut self, literal: &Literal) -> Option<()> {
        match literal {
            Literal::Bool(value) => {
                self.to.byte(tag::BOOL);
                self.to.flag(*value);
            }
            Literal::Long(value) => {
                self.to.byte(tag::LONG);
                self.to.long(*value);
            }
            Literal::String(text) => {
                self.to.byte(tag::STRING);
                self.to.text(text);
            }
            Literal::EntityUID(entity) => {
                self.to.byte(tag::ENTITY);
                self.entity(entity)?;
            }
            _ => return None,
        }
        Some(())
    }

    fn pattern(&mut self, pattern: &[PatternElem]) {
        self.to.count(pattern.len());
        for element in pattern {
            match element {
                PatternElem::Wildcard => self.to.text(""),
                PatternElem::Char(one) => self.to.text(one.encode_utf8(&mut [0; 4])),
            }
        }
    }

    fn place<T: PartialEq>(&mut self, table: &[T], one: &T) -> Option<()> {
        let place = table.iter().position(|other| other == one)?;
        self.to.byte(u8::try_from(place).ok()?);
        Some(())
    }
}

struct Decoder<'b> {
    types: &'b Types,
    from: Reader<'b>,
}

impl Decoder<'_> {
    fn template(&mut self, id: &str) -> Option<Template> {
        let effect = if self.from.flag()? {
            Effect::Forbid
        } else {
            Effect::Permit
        };
        let principal = match self.part()? {
            (0, None, None) => PrincipalConstraint::Any,
            (1, None, Some(entity)) => PrincipalConstraint::Eq(entity),
            (2, None, Some(entity)) => PrincipalConstraint::In(entity),
            (3, Some(kind), None) => PrincipalConstraint::Is(kind),
            (4, Some(kind), Some(entity)) => PrincipalConstraint::IsIn(kind, entity),
            _ => return None,
        };
        let action = match self.from.byte()? {
            0 => ActionConstraint::Any,
            1 => ActionConstraint::Eq(self.entity()?),
            2 => ActionConstraint::In(self.list(Self::entity)?),
            _ => return None,
        };
        let resource = match self.part()? {
            (0, None, None) => ResourceConstraint::Any,
            (1, None, Some(entity)) => ResourceConstraint::Eq(entity),
            (2, None, Some(entity)) => ResourceConstraint::In(entity),
            (3, Some(kind), None) => ResourceConstraint::Is(kind),
            (4, Some(kind), Some(entity)) => ResourceConstraint::IsIn(kind, entity),
            _ => return None,
        };
        let clauses = self.list(Self::clause)?;
        let tree = Template::new(
            pst::PolicyID(id.into()),
            effect,
            principal,
            action,
            resource,
        );
        tree.try_with_clauses(clauses).ok()
    }

    fn part(&mut self) -> Option<(u8, Option<EntityType>, Option<EntityOrSlot>)> {
        let form = self.from.byte()?;
        let kind = matches!(form, 3 | 4).then(|| self.kind());
        let kind = if let Some(kind) = kind {
            Some(kind?)
        } else {
            None
        };
        let entity = matches!(form, 1 | 2 | 4).then(|| self.entity());
        let entity = if let Some(entity) = entity {
            Some(EntityOrSlot::Entity(entity?))
        } else {
            None
        };
        Some((form, kind, entity))
    }

    fn clause(&mut self) -> Option<Clause> {
        let unless = self.from.flag()?;
        let expression = self.expression()?;
        Some(if unless {
            Clause::Unless(expression)
        } else {
            Clause::When(expression)
        })
    }

    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.from.count()?;
        (0..count).map(|_| one(self)).collect()
    }

    fn kind(&mut self) -> Option<EntityType> {
        self.types.at(self.from.byte()?)
    }

    fn entity(&mut self) -> Option<EntityUID> {
        Some(EntityUID {
            ty: self.kind()?,
            eid: self.from.text()?.into(),
        })
    }

    fn expression(&mut self) -> Option<Arc<Expr>> {
        Some(Arc::new(match self.from.byte()? {
            tag::BOOL => Expr::Literal(Literal::Bool(self.from.flag()?)),
            tag::LONG => Expr::Literal(Literal::Long(self.from.long()?)),
            tag::STRING => Expr::Literal(Literal::String(self.from.text()?.into())),
            tag::ENTITY => Expr::Literal(Literal::EntityUID(self.entity()?)),
            tag::VAR => Expr::Var(self.of(&VARS)?),
            tag::UNARY => Expr::UnaryOp {
                op: self.of(&UNARY)?,
                expr: self.expression()?,
            },
            tag::BINARY => Expr::BinaryOp {
                op: self.of(&BINARY)?,
                left: self.expression()?,
                right: self.expression()?,
            },
            tag::GET => Expr::GetAttr {
                attr: self.from.text()?.into(),
                expr: self.expression()?,
            },
            other => self.compound(other)?,
        }))
    }

    fn compound(&mut self, tag: u8) -> Option<Expr> {
        Some(match tag {
            tag::HAS => {
                let head = self.from.text()?.into();
                let tail = self.list(|from| Some(from.from.text()?.into()))?;
                Expr::HasAttr {
                    attrs: (head, tail).into(),
                    expr: self.expression()?,
                }
            }
            tag::LIKE => Expr::Like {
                pattern: self.list(Self::pattern_element)?,
                expr: self.expression()?,
            },
            tag::IS => {
                let entity_type = self.kind()?;
                let within = self.from.flag()?;
                Expr::Is {
                    entity_type,
                    expr: self.expression()?,
                    in_expr: if within {
                        Some(self.expression()?)
                    } else {
                        None
                    },
                }
            }
            tag::IF => Expr::IfThenElse {
                cond: self.expression()?,
                then_expr: self.expression()?,
                else_expr: self.expression()?,
            },
            tag::SET => Expr::Set(self.list(Self::expression)?),
            tag::RECORD => {
                let all =
                    self.list(|from| Some((from.from.text()?.to_owned(), from.expression()?)));
                Expr::Record(BTreeMap::from_iter(all?))
            }
            _ => return None,
        })
    }

    fn pattern_element(&mut self) -> Option<PatternElem> {
        let mut text = self.from.text()?.chars();
        match (text.next(), text.next()) {
            (None, _) => Some(PatternElem::Wildcard),
            (Some(one), None) => Some(PatternElem::Char(one)),
            _ => None,
        }
    }

    fn of<T: Clone>(&mut self, table: &[T]) -> Option<T> {
        table.get(usize::from(self.from.byte()?)).cloned()
    }
}
