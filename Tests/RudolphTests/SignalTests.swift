import Foundation
import Testing

@testable import RudolphCommand

nonisolated(unsafe) private var received = 0

@Suite struct SignalTests {
    /// A signal that came while signals were held is raised once, not by whatever holds them next.
    @Test func heldSignalsAreRaisedOnce() throws {
        // Of the signals that are held the one that nobody else in this process is sent.
        let handler = signal(SIGHUP) { _ in received += 1 }
        defer { signal(SIGHUP, handler) }
        var hangup = sigset_t(), mask = sigset_t()
        sigemptyset(&hangup)
        sigaddset(&hangup, SIGHUP)
        pthread_sigmask(SIG_UNBLOCK, &hangup, &mask)
        defer { pthread_sigmask(SIG_SETMASK, &mask, nil) }
        holdingSignals {
            raise(SIGHUP)
            #expect(received == 0)
        }
        #expect(received == 1)
        holdingSignals {}
        #expect(received == 1)
    }
}
