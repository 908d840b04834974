//! Seccomp filters in classic BPF: seccomp(2), Documentation/userspace-api/seccomp_filter.rst. A filter
//! is laid out first, with allocation, and installed by system calls alone, as after fork.

use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Errno;

/// Offsets into `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// On x86_64 the bit that tells x32's system calls; elsewhere no number has it.
const X32: u32 = 0x4000_0000;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const EQUALS: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Lets the call wait for a listener: `SECCOMP_RET_USER_NOTIF`.
const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;

/// execve(2) and execveat(2) of 32-bit programs.
#[cfg(target_arch = "aarch64")]
const COMPAT_EXEC: &[u32] = &[11, 387];
#[cfg(not(target_arch = "aarch64"))]
const COMPAT_EXEC: &[u32] = &[11, 358];

/// A way to call the kernel, as `struct seccomp_data` names it: linux/audit.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abi(u32);

impl Abi {
    #[cfg(target_arch = "x86_64")]
    pub(crate) const NATIVE: Option<Self> = Some(Self(0xc000_003e));
    #[cfg(target_arch = "aarch64")]
    pub(crate) const NATIVE: Option<Self> = Some(Self(0xc000_00b7));
    #[cfg(target_arch = "riscv64")]
    pub(crate) const NATIVE: Option<Self> = Some(Self(0xc000_00f3));
    #[cfg(not(any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )))]
    pub(crate) const NATIVE: Option<Self> = None;

    /// That of 32-bit programs, beside the native one; on x86_64 there is x32 as well, which has the
    /// native value.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const COMPAT: Option<Self> = Some(Self(0x4000_0003));
    #[cfg(target_arch = "aarch64")]
    pub(crate) const COMPAT: Option<Self> = Some(Self(0x4000_0028));
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub(crate) const COMPAT: Option<Self> = None;

    /// As `struct seccomp_data` has it.
    pub(super) const fn value(self) -> u32 {
        self.0
    }
}

/// A filter, laid out.
#[derive(Debug)]
pub struct Filter(Vec<libc::sock_filter>);

impl Filter {
    /// Refuses one argument's values, with EPERM, in the system calls of these numbers; everything else
    /// passes. The argument is 32 bits wide to the kernel, whatever stands above them.
    pub(crate) fn refusing_argument(
        calls: &[(Abi, &[u32])],
        argument: u32,
        values: &[u32],
    ) -> Self {
        let low_half = if cfg!(target_endian = "big") { 4 } else { 0 };
        let mut filter = Vec::new();
        for (abi, numbers) in calls {
            let mut block = vec![step(LOAD, NUMBER), step(AND, !X32)];
            block.extend(any_of(numbers, Then::GoOn, Then::Return(allow())));
            block.push(step(LOAD, ARGUMENTS + 8 * argument + low_half));
            block.extend(any_of(
                values,
                Then::Return(refuse(libc::EPERM)),
                Then::Return(allow()),
            ));
            filter.extend(within(*abi, block));
        }
        filter.push(step(RETURN, allow()));
        Self(filter)
    }

    /// Refuses the native system calls of these numbers, with EPERM, and all of other ABIs.
    pub(crate) fn refusing_calls(abi: Abi, numbers: &[u32]) -> Self {
        let mut filter = Vec::new();
        let mut block = vec![step(LOAD, NUMBER), step(AT_LEAST, X32)];
        block[1].jf = 1;
        block.push(step(RETURN, refuse(libc::ENOSYS)));
        // A jump reaches 255 steps.
        for some in numbers.chunks(64) {
            block.extend(any_of(some, Then::Return(refuse(libc::EPERM)), Then::GoOn));
        }
        block.push(step(RETURN, allow()));
        filter.extend(within(abi, block));
        filter.push(step(RETURN, refuse(libc::ENOSYS)));
        Self(filter)
    }

    /// Makes each execve(2) and execveat(2) wait for a listener, but for the one whose arguments that the
    /// kernel ignores are `pass`.
    pub(crate) fn asking_at_exec(abi: Abi, pass: [u64; 3]) -> Self {
        let mut block = vec![step(LOAD, NUMBER)];
        // x32's own would be neither looked at nor refused otherwise.
        block.extend(any_of(
            &[X32 + 520, X32 + 545],
            Then::Return(refuse(libc::ENOSYS)),
            Then::GoOn,
        ));
        for (number, arguments) in [(libc::SYS_execve, 3..6), (libc::SYS_execveat, 5..6)] {
            let mut call = Vec::new();
            for argument in arguments {
                let expected = pass[argument as usize - 3].to_ne_bytes();
                for (half, bytes) in expected.chunks(4).enumerate() {
                    let bytes = bytes.try_into().expect("a half has four bytes");
                    call.push(step(LOAD, ARGUMENTS + 8 * argument + 4 * half as u32));
                    call.extend(any_of(
                        &[u32::from_ne_bytes(bytes)],
                        Then::GoOn,
                        Then::Return(NOTIFY),
                    ));
                }
            }
            call.push(step(RETURN, allow()));
            let mut is_it = step(EQUALS, number as u32);
            is_it.jf = u8::try_from(call.len()).expect("a block is short");
            block.push(is_it);
            block.extend(call);
        }
        block.push(step(RETURN, allow()));
        let mut filter = within(abi, block);
        if let Some(compat) = Abi::COMPAT {
            let mut block = vec![step(LOAD, NUMBER)];
            let calls = COMPAT_EXEC;
            block.extend(any_of(calls, Then::Return(NOTIFY), Then::Return(allow())));
            // `any_of` puts the answer for none of them first.
            filter.extend(within(compat, block));
        }
        filter.push(step(RETURN, allow()));
        Self(filter)
    }

    /// Puts it on this thread, and gives the listener's descriptor. No allocation.
    pub(crate) fn install_with_listener(&self) -> Result<OwnedFd, Errno> {
        /// Linux 5.19: a call that was received waits for nothing but its answer and SIGKILL.
        const WAIT_KILLABLE: libc::c_ulong = 1 << 5;
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        let fd = match self.set(flags | WAIT_KILLABLE) {
            Err(Errno::INVAL) => self.set(flags)?,
            set => set?,
        };
        // SAFETY: the kernel gave a new descriptor, and nobody else has it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
    }

    /// Puts it on this thread and what descends from it, for good. Takes no_new_privs or
    /// CAP_SYS_ADMIN. No allocation.
    pub(crate) fn install(&self) -> Result<(), Errno> {
        // Without this flag kernels before 5.16 slow the program down for speculative stores.
        match self.set(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW) {
            Err(Errno::INVAL) => self.set(0).map(drop),
            done => done.map(drop),
        }
    }

    fn set(&self, flags: libc::c_ulong) -> Result<libc::c_long, Errno> {
        let program = libc::sock_fprog {
            len: self.0.len() as u16,
            filter: self.0.as_ptr().cast_mut(),
        };
        // SAFETY: the program points to steps that outlive the call; the kernel copies and changes none.
        let set = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        if set >= 0 { Ok(set) } else { Err(last_errno()) }
    }
}

/// Whether this kernel takes filters (CONFIG_SECCOMP_FILTER), and lets this process set one.
pub fn is_available() -> bool {
    let action = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the call reads one number.
    let asked = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            0,
            &raw const action,
        )
    };
    Abi::NATIVE.is_some() && asked == 0
}

/// Whether this kernel lets a listener decide on system calls, in the form that hushpipe knows.
pub fn can_listen() -> bool {
    let action = NOTIFY;
    let mut sizes = [0_u16; 3];
    // SAFETY: the first call reads one number, the second fills `struct seccomp_notif_sizes`.
    let asked = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            0,
            &raw const action,
        ) == 0
            && libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_GET_NOTIF_SIZES,
                0,
                &raw mut sizes,
            ) == 0
    };
    // What super::listener has: a notification, an answer, and the data of a call.
    asked && sizes == [80, 24, 64]
}

fn last_errno() -> Errno {
    // SAFETY: the location is this thread's and always valid.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

const fn allow() -> u32 {
    libc::SECCOMP_RET_ALLOW
}

const fn refuse(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno as u32
}

const fn step(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

/// What follows a comparison.
#[derive(Clone, Copy)]
enum Then {
    GoOn,
    Return(u32),
}

/// Steps for system calls of one ABI; all others pass them by.
fn within(abi: Abi, block: Vec<libc::sock_filter>) -> Vec<libc::sock_filter> {
    let mut compare = step(EQUALS, abi.0);
    compare.jt = 1;
    // A comparison jumps over 255 steps at most.
    let past = jump(block.len() as u32);
    let mut filter = vec![step(LOAD, ARCHITECTURE), compare, past];
    filter.extend(block);
    filter
}

/// Compares what was loaded with each value.
fn any_of(values: &[u32], found: Then, else_: Then) -> Vec<libc::sock_filter> {
    let mut steps = Vec::with_capacity(values.len() + 2);
    // Behind the comparisons stands what is done for none of them, and then for one of them.
    let none = match else_ {
        Then::Return(value) => vec![step(RETURN, value)],
        // Jumps over the next step, if there is one.
        Then::GoOn => match found {
            Then::Return(_) => vec![jump(1)],
            Then::GoOn => Vec::new(),
        },
    };
    for (index, value) in values.iter().enumerate() {
        let mut compare = step(EQUALS, *value);
        let rest = values.len() - 1 - index + none.len();
        compare.jt = u8::try_from(rest).expect("a block is short");
        steps.push(compare);
    }
    steps.extend(none);
    if let Then::Return(value) = found {
        steps.push(step(RETURN, value));
    }
    steps
}

const fn jump(over: u32) -> libc::sock_filter {
    step((libc::BPF_JMP | libc::BPF_JA) as u16, over)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do: the subset of classic BPF that is used here.
    fn verdict(filter: &Filter, abi: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = [number.to_ne_bytes(), abi.to_ne_bytes()].concat();
        data.extend(0_u64.to_ne_bytes());
        data.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = filter.0[at];
            at += 1;
            match step.code {
                LOAD => {
                    let place = step.k as usize;
                    loaded = u32::from_ne_bytes(data[place..place + 4].try_into().unwrap());
                }
                AND => loaded &= step.k,
                EQUALS if loaded == step.k => at += usize::from(step.jt),
                AT_LEAST if loaded >= step.k => at += usize::from(step.jt),
                EQUALS | AT_LEAST => at += usize::from(step.jf),
                RETURN => return step.k,
                _ => at += step.k as usize,
            }
        }
    }

    const ONE: Abi = Abi(0xc000_003e);
    const OTHER: Abi = Abi(0x4000_0003);
    const REFUSED: u32 = refuse(libc::EPERM);
    const ALLOWED: u32 = allow();

    #[test]
    fn an_argument_is_refused_in_every_abi_whatever_stands_above_its_32_bits() {
        let filter =
            Filter::refusing_argument(&[(ONE, &[16, 514]), (OTHER, &[54])], 1, &[0x5412, 0x541c]);
        let asked = |abi: Abi, number, request| {
            verdict(&filter, abi.0, number, [0x5412, request, 0x5412, 0, 0, 0])
        };
        for request in [0x5412, 0x541c, 0x1_0000_5412, 0xffff_ffff_0000_541c] {
            for number in [16, 514, X32 + 514, X32 + 16] {
                assert_eq!(asked(ONE, number, request), REFUSED, "{number} {request:x}");
            }
            assert_eq!(asked(OTHER, 54, request), REFUSED);
            assert_eq!(asked(ONE, 54, request), ALLOWED);
            assert_eq!(asked(OTHER, 16, request), ALLOWED);
        }
        for request in [0x5401, 0x5413, 0, 0x5412_0000_0000] {
            assert_eq!(asked(ONE, 16, request), ALLOWED, "{request:x}");
        }
    }

    #[test]
    fn an_exec_waits_but_for_the_one_that_may_pass() {
        let pass = [
            0x1111_2222_3333_4444,
            0x5555_6666_7777_8888,
            0x9999_aaaa_bbbb_cccc,
        ];
        let filter = Filter::asking_at_exec(ONE, pass);
        let asked =
            |abi: Abi, number: i64, arguments| verdict(&filter, abi.0, number as u32, arguments);
        let [one, two, three] = pass;
        for number in [libc::SYS_execve, libc::SYS_execveat] {
            assert_eq!(asked(ONE, number, [0, 0, 0, one, two, three]), ALLOWED);
            assert_eq!(asked(ONE, number, [0; 6]), NOTIFY);
            assert_eq!(asked(ONE, number, [0, 0, 0, one, two, three ^ 1]), NOTIFY);
            assert_eq!(
                asked(ONE, number, [0, 0, 0, one, two, three ^ 1 << 40]),
                NOTIFY
            );
        }
        let execve = libc::SYS_execve;
        assert_eq!(
            asked(ONE, execve, [0, 0, 0, one ^ 1 << 63, two, three]),
            NOTIFY
        );
        assert_eq!(asked(ONE, execve, [0, 0, 0, one, two ^ 1, three]), NOTIFY);
        for number in [libc::SYS_read, libc::SYS_mmap, libc::SYS_exit_group] {
            assert_eq!(asked(ONE, number, [0; 6]), ALLOWED);
        }
        for number in [520, 545] {
            let number = i64::from(X32) | number;
            assert_eq!(
                asked(ONE, number, [0, 0, 0, one, two, three]),
                refuse(libc::ENOSYS)
            );
        }
        for number in COMPAT_EXEC {
            let asked = |arguments| asked(OTHER, i64::from(*number), arguments);
            assert_eq!(asked([0, 0, 0, one, two, three]), NOTIFY);
        }
        assert_eq!(asked(OTHER, 3, [0; 6]), ALLOWED);
    }

    #[test]
    fn calls_are_refused_and_other_abis_have_none() {
        let numbers: Vec<u32> = (100..300).collect();
        let filter = Filter::refusing_calls(ONE, &numbers);
        let asked = |abi: Abi, number| verdict(&filter, abi.0, number, [0; 6]);
        for number in numbers {
            assert_eq!(asked(ONE, number), REFUSED, "{number}");
        }
        for number in [0, 1, 99, 300, 1000] {
            assert_eq!(asked(ONE, number), ALLOWED, "{number}");
        }
        assert_eq!(asked(OTHER, 1), refuse(libc::ENOSYS));
        assert_eq!(asked(ONE, X32 | 1), refuse(libc::ENOSYS));
    }
}
