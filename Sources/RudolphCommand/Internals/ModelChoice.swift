/// Which model file a command uses.
struct ModelChoice {
    let path: String
    /// Why it was taken, where the user did not name it on the command line.
    let reason: String?

    /// - Parameter option: The value of `--model`.
    init(option: String?) throws(CommandError) {
        if let option {
            self.init(path: option, reason: nil)
        } else if let path = environmentVariable("RUDOLPH_MODEL"), !path.isEmpty {
            self.init(path: path, reason: "from RUDOLPH_MODEL")
        } else if let path = Self.bundledModel() {
            self.init(path: path, reason: "bundled demonstration model; --model or RUDOLPH_MODEL names another")
        } else {
            throw CommandError("no model: expected --model FILE, RUDOLPH_MODEL or the bundled Models/demo/*.gguf")
        }
    }

    private init(path: String, reason: String?) {
        self.path = path
        self.reason = reason
    }

    /// The demonstration model: as installed (`../share/rudolph` seen from the executable), in the package checkout that the
    /// executable was built in, or in the current directory.
    private static func bundledModel() -> String? {
        var folders: [String] = []
        if let executable = executablePath() {
            var directory = parent(of: executable)
            folders.append(parent(of: directory) + "/share/rudolph")
            while !directory.isEmpty {
                folders.append(directory + "/Models/demo")
                directory = parent(of: directory)
            }
        }
        folders.append("Models/demo")
        for folder in folders {
            let models = fileNames(in: folder).filter { $0.hasSuffix(".gguf") }
            if let name = models.min() { return "\(folder)/\(name)" }
        }
        return nil
    }

    /// The path without its last component; of a component below the root, the empty string.
    private static func parent(of path: String) -> String {
        String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }
}
