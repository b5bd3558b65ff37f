import CPlatform

/// Stops a running task: raised from another thread, a task's cancellation handler or a signal handler, it ends the work of a session
/// within one layer, with `RudolphError.stopped`. It stays raised until it is lowered; the session can be used again then.
public final class StopFlag: @unchecked Sendable {
    /// For signal handlers, which may only touch this through `rp_flag_raise`.
    public let pointer: UnsafeMutablePointer<Int32>

    init() {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: 0)
    }

    deinit {
        pointer.deallocate()
    }

    /// Stops what runs on the session, and whatever is begun until `lower`. From any thread, any number of times.
    public func raise() { rp_flag_raise(pointer) }
    /// Lets tasks run again. A task that has not noticed the flag yet goes on.
    public func lower() { rp_flag_lower(pointer) }
    /// Whether it was raised and not lowered since.
    public var isRaised: Bool { rp_flag_is_raised(pointer) != 0 }
}
