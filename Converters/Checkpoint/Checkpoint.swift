import Rudolph

/// The tensors of a checkpoint file by name, whatever its format: torch.save (zip or legacy) or safetensors. The file stays mapped;
/// nothing is copied until a tensor is read.
package struct Checkpoint: Sendable {
    package let path: String
    /// Bytes of the file.
    let size: Int
    /// By name, without what wrappers put before it.
    package private(set) var tensors: [String: TensorView]
    /// What the file calls the element types of the tensors that cannot be read, by name.
    private let unread: [String: String]

    /// What a file holds under a name.
    enum Content {
        case tensor(TensorView)
        /// A tensor whose elements are of a type, in the file's words, that is not read.
        case unread(type: String)
    }

    /// What trainers and wrapper modules put before the names of a model's tensors.
    private static let wrappers = ["state_dict.", "model_state_dict.", "model.", "module.", "_orig_mod."]

    /// Fails when the file is in none of the formats, is damaged, or names something that a checkpoint has no business to name.
    package init(path: String) throws(ConversionError) {
        let file = try MappedFile(input: path)
        let found: [(name: String, content: Content)]
        if ZipArchive.isZip(file.bytes) || TorchFile.isLegacy(file.bytes) {
            found = try TorchFile.tensors(file)
        } else if SafetensorsFile.isSafetensors(file.bytes) {
            found = try SafetensorsFile.tensors(file)
        } else {
            throw .invalid(file: path, reason: "is neither a PyTorch checkpoint (zip or legacy) nor a safetensors file, or its beginning is damaged")
        }
        var tensors: [String: TensorView] = [:], unread: [String: String] = [:]
        for (name, content) in found {
            let plain = Self.withoutWrappers(name)
            guard case .tensor(let view) = content else {
                if case .unread(let type) = content { unread[plain] = type }
                continue
            }
            if let other = tensors[plain], !other.isSame(as: view) {
                throw .invalid(file: path, reason: "two tensors are called \(plain) once wrapper prefixes are taken away; \(name) is one of them")
            }
            tensors[plain] = view
        }
        self.path = path
        self.size = file.bytes.count
        self.tensors = tensors
        self.unread = unread
        if tensors.isEmpty { throw unread.keys.min().flatMap(refusal) ?? failure("holds no tensors") }
    }

    private static func withoutWrappers(_ name: String) -> String {
        var rest = name[...]
        while let wrapper = wrappers.first(where: { rest.hasPrefix($0) }) { rest = rest.dropFirst(wrapper.count) }
        return String(rest)
    }

    func failure(_ reason: String) -> ConversionError { .invalid(file: path, reason: reason) }

    /// The same file with these tensors in place of its own.
    func with(_ tensors: [String: TensorView]) -> Checkpoint {
        var checkpoint = self
        checkpoint.tensors = tensors
        return checkpoint
    }

    /// What is wrong with the tensor called `name` when its elements cannot be read; nil when they can, or there is none.
    private func refusal(_ name: String) -> ConversionError? {
        unread[name].map { failure("\(name) has elements of type \($0); read are \(ElementType.allCases.map(\.rawValue).joined(separator: ", "))") }
    }

    /// Fails when elements of a tensor whose name begins with one of `prefixes` cannot be read.
    func checkElements(under prefixes: [String]) throws(ConversionError) {
        let names = unread.keys.filter { name in prefixes.contains { name.hasPrefix($0) } }
        if let refusal = names.min().flatMap(refusal) { throw refusal }
    }

    /// The tensor called `name`, which must have `shape`.
    func tensor(_ name: String, shape: [Int]) throws(ConversionError) -> TensorView {
        if tensors[name] == nil, let refusal = refusal(name) { throw refusal }
        guard let view = tensors[name] else { throw failure("\(name) is missing; a tensor of shape \(shape) is expected") }
        guard view.shape == shape else { throw failure("\(name) has the shape \(view.shape), expected \(shape)") }
        return view
    }
}
