import ArgumentParser
import CPlatform
import CommandSupport
import Rudolph

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Kept until the process ends, so that a late signal finds its flag.
nonisolated(unsafe) private var interruptible: Session?
nonisolated(unsafe) private var interruptFlag: UnsafeMutablePointer<Int32>?

/// From now on the first Ctrl-C stops what `session` computes, which ends the program with exit code 130; the second one kills. Where
/// the parent has interrupts ignored they stay so.
func stopOnInterrupt(_ session: Session) {
    interruptible = session
    interruptFlag = session.stop.pointer
    handleSignals([SIGINT]) { _ in
        if let interruptFlag { rp_flag_raise(interruptFlag) }
        signal(SIGINT, SIG_DFL)
    }
}

/// Throws when Ctrl-C was pressed since `stopOnInterrupt`: between pieces of work that do not look at the flag themselves.
func checkInterruption() throws(ExitCode) {
    if let interruptFlag, rp_flag_is_raised(interruptFlag) != 0 { throw .interrupted }
}

/// Runs `body`, which may wait for another program and has nothing to clean up: Ctrl-C ends the program at once, with exit code 130.
func endingOnInterrupt<Result>(_ body: () throws -> Result) throws -> Result {
    let previous = handleSignals([SIGINT]) { _ in _exit(130) }
    defer { signal(SIGINT, previous[0]) }
    try checkInterruption()
    return try body()
}

extension ExitCode {
    /// What a shell reports of a program that SIGINT ended.
    static let interrupted = ExitCode(130)
}
