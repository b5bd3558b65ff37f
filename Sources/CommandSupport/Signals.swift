#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

package typealias SignalHandler = @convention(c) (Int32) -> Void

/// From now on these signals call `handler`. Those that the parent has ignored (`nohup`) stay so; those that it has blocked do not: a parent that
/// starts programs from a thread with blocked signals hands them on.
/// - Returns: what they did before.
@discardableResult
package func handleSignals(_ numbers: [Int32], by handler: @escaping SignalHandler) -> [SignalHandler?] {
    var handled = sigset_t()
    sigemptyset(&handled)
    let previous = numbers.map { number in
        let previous = signal(number, handler)
        if unsafeBitCast(previous, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
            signal(number, SIG_IGN)
        } else {
            sigaddset(&handled, number)
        }
        return previous
    }
    pthread_sigmask(SIG_UNBLOCK, &handled, nil)
    return previous
}
