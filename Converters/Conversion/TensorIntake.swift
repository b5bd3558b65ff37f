/// Takes the tensors of a model out of a checkpoint.
struct TensorIntake {
    private let checkpoint: Checkpoint
    private var used: Set<String>
    /// Of what was taken. It is less than the file, unless tensors share memory: a small file could make any number of large ones so.
    private var bytes = 0

    /// - Parameter known: names that need not be taken to have a use.
    init(_ checkpoint: Checkpoint, besides known: [String] = []) {
        self.checkpoint = checkpoint
        used = Set(known)
    }

    /// The tensor called `name`, which must have `shape` and each element for itself.
    mutating func take(_ name: String, _ shape: [Int]) throws(ConversionError) -> TensorView {
        let view = try checkpoint.tensor(name, shape: shape)
        let elements = shape.reduce(1, *)
        guard elements <= view.storedElements else {
            throw checkpoint.failure("\(name) has \(elements) elements but a storage of \(view.storedElements), expected one of them all")
        }
        bytes += elements * view.type.size
        guard bytes <= checkpoint.size else {
            throw checkpoint.failure("the tensors up to \(name) have \(bytes) bytes, expected less than the file's \(checkpoint.size)")
        }
        used.insert(name)
        return view
    }

    /// The names of the others.
    var rest: [String] { checkpoint.tensors.keys.filter { !used.contains($0) } }

    /// What users are told of tensors that have no use; nil where there are none.
    func warning(ofUnused names: [String]) -> String? {
        guard let first = names.min() else { return nil }
        let others = names.count > 1 ? ", ..." : ""
        return "\(checkpoint.path): \(names.count) tensors are not part of the model and are left out (\(first)\(others))"
    }
}
