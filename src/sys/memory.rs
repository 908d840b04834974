//! Memory that holds values: pages that nobody else reads, and giving back what is dead.

use std::cell::Cell;
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;

use zeroize::Zeroize;

/// Whole pages of memory of this process, handed out in [`Region`]s, unmapped with the last of them.
pub struct Pages {
    start: NonNull<u8>,
    length: usize,
    /// How many bytes from the start belong to a region; a region's bytes are not given out again.
    carved: Cell<usize>,
}

/// Rounds up to whole pages; at least one.
fn whole_pages(length: usize) -> usize {
    length.max(1).next_multiple_of(page_size())
}

/// The size of a page.
pub fn page_size() -> usize {
    rustix::param::page_size()
}

impl Pages {
    /// At least `length` zero bytes of memfd_secret(2): pages that the kernel itself takes out of
    /// its direct map, that ptrace and /proc/PID/mem cannot read, that are never swapped or dumped.
    /// A forked child does not have them.
    ///
    /// Errors: ENOSYS where the kernel has none, EAGAIN past RLIMIT_MEMLOCK.
    pub fn secret(length: usize) -> io::Result<Self> {
        let length = whole_pages(length);
        let fd = memfd_secret()?;
        rustix::fs::ftruncate(&fd, length as u64)?;
        // SAFETY: no address is asked for, so nothing that is mapped is replaced.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                length,
                rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE,
                rustix::mm::MapFlags::SHARED,
                &fd,
                0,
            )?
        };
        let pages = Self::own(start, length);
        // The mapping is shared: a child that wiped it would wipe ours.
        pages.advise(libc::MADV_DONTFORK)?;
        Ok(pages)
    }

    /// At least `length` zero bytes that are not dumped, that a forked child sees as zeros, and that
    /// are locked against swapping where RLIMIT_MEMLOCK allows; the second value says so.
    pub fn anonymous(length: usize) -> io::Result<(Self, bool)> {
        let length = whole_pages(length);
        // SAFETY: no address is asked for, so nothing that is mapped is replaced.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                length,
                rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE,
                rustix::mm::MapFlags::PRIVATE,
            )?
        };
        let pages = Self::own(start, length);
        pages.advise(libc::MADV_DONTDUMP)?;
        pages.advise(libc::MADV_WIPEONFORK)?;
        // SAFETY: the range is exactly our own mapping.
        let locked = unsafe { rustix::mm::mlock(start, length) }.is_ok();
        Ok((pages, locked))
    }

    fn own(start: *mut libc::c_void, length: usize) -> Self {
        let start = NonNull::new(start.cast()).expect("mmap does not give the null page");
        Self {
            start,
            length,
            carved: Cell::new(0),
        }
    }

    fn advise(&self, advice: libc::c_int) -> io::Result<()> {
        // SAFETY: the range is exactly our own mapping, and the advices used here change no byte
        // that a reference of this process points to.
        match unsafe { libc::madvise(self.start.as_ptr().cast(), self.length, advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Takes `length` bytes that no other region has, or `None` where so many are not left.
    pub fn carve(self: &Rc<Self>, length: usize) -> Option<Region> {
        let start = self.carved.get();
        let end = start
            .checked_add(length)
            .filter(|end| *end <= self.length)?;
        self.carved.set(end);
        Some(Region {
            pages: Rc::clone(self),
            start,
            length,
        })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the range is exactly our own mapping; every region keeps the pages alive, so that
        // nothing borrows from it any more.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert!(unmapped.is_ok(), "munmap of an own mapping");
    }
}

/// Some bytes of [`Pages`], its alone, wiped at drop.
pub struct Region {
    pages: Rc<Pages>,
    start: usize,
    length: usize,
}

impl Region {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `carve` keeps the range within the mapping, which is readable, initialised by the
        // kernel and lives as long as `self.pages`; no other region has the range.
        unsafe {
            std::slice::from_raw_parts(self.pages.start.as_ptr().add(self.start), self.length)
        }
    }

    /// The bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`; `&mut self` makes the access exclusive.
        unsafe {
            std::slice::from_raw_parts_mut(self.pages.start.as_ptr().add(self.start), self.length)
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
    }
}

fn memfd_secret() -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: the call takes flags alone and gives a new descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// Fills with random bytes of the kernel's generator (getrandom(2)).
pub fn fill_random(mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: the pointer and the length are those of the slice.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        if let Ok(got) = usize::try_from(got) {
            bytes = &mut bytes[got..];
            continue;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

/// How much of the dead stack [`scrub_stack`] overwrites.
const SCRUBBED: usize = 256 * 1024;

/// Overwrites the 256 KiB of stack below the caller, where functions that have returned left
/// what they worked on, and gives its pages back.
#[inline(never)]
pub fn scrub_stack() {
    let dead = overwrite_stack();
    if is_main_thread() {
        give_back_stack(dead);
    }
}

/// Gives the address of the array that it wrote over.
#[inline(never)]
fn overwrite_stack() -> usize {
    let mut dead = std::mem::MaybeUninit::<[u64; SCRUBBED / 8]>::uninit();
    let words = dead.as_mut_ptr().cast::<u64>();
    for index in 0..SCRUBBED / 8 {
        // SAFETY: the index is within the array. Volatile, so that the writes happen although
        // nobody reads them.
        unsafe { words.add(index).write_volatile(0) };
    }
    words as usize
}

fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

/// Only for the main thread's stack: the kernel keeps a gap of 1 MiB below it, so that the range
/// cannot reach another mapping.
fn give_back_stack(dead: usize) {
    let start = dead.next_multiple_of(page_size());
    // The pages at the top may hold the frame of the call below.
    let length = SCRUBBED - 4 * page_size();
    // SAFETY: the range lies in stack below the frames that are alive: `overwrite_stack` has
    // returned, and the call below needs far less than the three pages that are left out.
    let given_back =
        unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
    // Refused where the stack is locked (mlockall); then it stays, overwritten.
    debug_assert!(
        given_back == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL)
    );
}

/// Gives freed heap back to the kernel.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Drops the resident pages of the program's read-only text and data, most of which only the start,
/// or a request by TLS, needed. They are the file's: the kernel brings back what is used again.
pub fn release_code() {
    // SAFETY: the callback has the signature that dl_iterate_phdr(3) wants and needs no data.
    unsafe {
        libc::dl_iterate_phdr(Some(release_object), std::ptr::null_mut());
    }
}

/// One loaded object. Segments that were ever writable are left alone: relocated data (RELRO) is
/// read-only by now, but differs from the file.
unsafe extern "C" fn release_object(
    object: *mut libc::dl_phdr_info,
    _: libc::size_t,
    _: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: dl_iterate_phdr gives a valid object for the time of the call.
    let object = unsafe { &*object };
    if object.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the object's own table and its length.
    let headers =
        unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
    for header in headers {
        if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0 {
            let at = object.dlpi_addr as usize + header.p_vaddr as usize;
            let start = at & !(page_size() - 1);
            let end = (at + header.p_memsz as usize).next_multiple_of(page_size());
            // SAFETY: a private mapping of a file that was never written: its pages come back from
            // the file as they were. The vDSO refuses the advice, which is fine.
            unsafe {
                libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
            }
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_share_pages_and_do_not_overlap() {
        let (pages, _) = Pages::anonymous(1).unwrap();
        let pages = Rc::new(pages);
        let mut one = pages.carve(page_size() - 1).unwrap();
        let mut two = pages.carve(1).unwrap();
        assert!(pages.carve(1).is_none());
        assert_eq!(pages.carve(0).unwrap().bytes(), b"");
        one.bytes_mut().fill(1);
        two.bytes_mut().fill(2);
        assert!(one.bytes().iter().all(|byte| *byte == 1));
        assert_eq!(two.bytes(), [2]);
    }

    #[test]
    fn random_bytes_differ() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        fill_random(&mut a).unwrap();
        fill_random(&mut b).unwrap();
        assert!(a != b);
    }

    #[test]
    fn a_program_goes_on_after_its_pages_were_released() {
        release_code();
        trim();
        scrub_stack();
        assert_eq!(format!("{}", 6 * 7), "42");
    }
}
