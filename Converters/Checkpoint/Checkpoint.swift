import Rudolph

/// The tensors of a checkpoint file by name, whatever its format: torch.save (zip or legacy) or safetensors. The file stays mapped;
/// nothing is copied until a tensor is read.
package struct Checkpoint: Sendable {
    package let path: String
    /// By name, without what wrappers put before it.
    package let tensors: [String: TensorView]

    /// What trainers and wrapper modules put before the names of a model's tensors.
    private static let wrappers = ["state_dict.", "model_state_dict.", "model.", "module.", "_orig_mod."]

    /// Fails when the file is in none of the formats, is damaged, or names something that a checkpoint has no business to name.
    package init(path: String) throws(ConversionError) {
        let file = try MappedFile(input: path)
        let found: [(name: String, view: TensorView)]
        if ZipArchive.isZip(file.bytes) || TorchFile.isLegacy(file.bytes) {
            found = try TorchFile.tensors(file)
        } else if SafetensorsFile.isSafetensors(file.bytes) {
            found = try SafetensorsFile.tensors(file)
        } else {
            throw .invalid(file: path, reason: "is neither a PyTorch checkpoint (zip or legacy) nor a safetensors file, or its beginning is damaged")
        }
        var tensors: [String: TensorView] = [:]
        for (name, view) in found {
            let plain = Self.withoutWrappers(name)
            if let other = tensors[plain], !other.isSame(as: view) {
                throw .invalid(file: path, reason: "two tensors are called \(plain) once wrapper prefixes are taken away; \(name) is one of them")
            }
            tensors[plain] = view
        }
        guard !tensors.isEmpty else { throw .invalid(file: path, reason: "holds no tensors") }
        self.path = path
        self.tensors = tensors
    }

    private static func withoutWrappers(_ name: String) -> String {
        var rest = name[...]
        while let wrapper = wrappers.first(where: { rest.hasPrefix($0) }) { rest = rest.dropFirst(wrapper.count) }
        return String(rest)
    }

    func failure(_ reason: String) -> ConversionError { .invalid(file: path, reason: reason) }

    /// The tensor called `name`, which must have `shape`.
    func tensor(_ name: String, shape: [Int]) throws(ConversionError) -> TensorView {
        guard let view = tensors[name] else { throw failure("\(name) is missing; a tensor of shape \(shape) is expected") }
        guard view.shape == shape else { throw failure("\(name) has the shape \(view.shape), expected \(shape)") }
        return view
    }
}
