import CPlatform

/// Lets one at a time use something: who comes while it is used is refused, and does not wait.
final class UsageFlag: @unchecked Sendable {
    private let pointer: UnsafeMutablePointer<Int32>

    init() {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: 0)
    }

    deinit {
        pointer.deallocate()
    }

    /// Whoever took it gives it back, on every path.
    /// - Throws: `RudolphError.inUse` where it is taken.
    func take() throws(RudolphError) {
        guard tryTaking() else { throw .inUse }
    }

    /// Takes it unless it is taken.
    func tryTaking() -> Bool { rp_flag_take(pointer) != 0 }

    func giveBack() { rp_flag_give_back(pointer) }
}
