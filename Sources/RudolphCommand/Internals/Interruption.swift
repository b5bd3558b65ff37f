import ArgumentParser
import CPlatform
import Rudolph

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Kept until the process ends, so that a late signal finds its flag.
nonisolated(unsafe) private var interruptible: Session?
nonisolated(unsafe) private var interruptFlag: UnsafeMutablePointer<Int32>?

/// From now on the first Ctrl-C stops what `session` computes, which ends the program with exit code 130; the second one kills. Where
/// the parent has interrupts ignored they stay so.
func stopOnInterrupt(_ session: Session) {
    interruptible = session
    interruptFlag = session.stop.pointer
    let previous = signal(SIGINT) { _ in
        if let interruptFlag { rp_flag_raise(interruptFlag) }
        signal(SIGINT, SIG_DFL)
    }
    if unsafeBitCast(previous, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) { signal(SIGINT, SIG_IGN) }
}

/// Throws when Ctrl-C was pressed: between pieces of work that do not look at the flag themselves.
func checkInterruption(_ session: Session) throws(ExitCode) {
    if session.stop.isRaised { throw .interrupted }
}

extension ExitCode {
    /// What a shell reports of a program that SIGINT ended.
    static let interrupted = ExitCode(130)
}
