import Foundation
import Testing

/// Which model is taken without --model, and what is said about it.
@Suite(.serialized) struct ModelChoiceTests {
    /// `bin/rudolph` in a folder of its own, with nothing around it.
    private func installation() throws -> (folder: TemporaryFolder, program: URL) {
        let folder = try TemporaryFolder()
        let program = folder.file("bin/rudolph")
        try FileManager.default.createDirectory(at: folder.file("bin"), withIntermediateDirectories: true)
        try FileManager.default.copyItem(at: Command.rudolph, to: program)
        return (folder, program)
    }

    private func addModel(_ folder: TemporaryFolder, _ path: String) throws -> URL {
        let url = folder.file(path)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try FileManager.default.linkItem(at: URL(filePath: try Project.model()), to: url)
        return url
    }

    @Test func theOptionIsFollowedWithoutAWord() throws {
        let run = try Command.run(["tokenize", "кот", "--model", try Project.model()], environment: ["RUDOLPH_MODEL": "/missing.gguf"])
        #expect(run.status == 0 && run.messages.isEmpty, "\(run.messages)")
    }

    @Test func theEnvironmentIsFollowedAndSaid() throws {
        let model = try Project.model()
        let run = try Command.run(["tokenize", "кот"], environment: ["RUDOLPH_MODEL": model])
        #expect(run.status == 0)
        #expect(run.messages == "model: \(model) (from RUDOLPH_MODEL)\n")
        let quiet = try Command.run(["tokenize", "кот", "--quiet"], environment: ["RUDOLPH_MODEL": model])
        #expect(quiet.text == run.text && quiet.messages.isEmpty, "\(quiet.messages)")
        let missing = try Command.run(["tokenize", "кот"], environment: ["RUDOLPH_MODEL": "/missing.gguf"])
        #expect(missing.status == 1 && missing.messages.contains("Error: /missing.gguf: "), "\(missing.messages)")
    }

    @Test(arguments: ["share/rudolph/demo.gguf", "Models/demo/demo.gguf", "bin/Models/demo/demo.gguf"])
    func theBundledModelIsFoundFromTheProgram(place: String) throws {
        let (folder, program) = try installation()
        let model = try addModel(folder, place)
        let run = try Command.run(["tokenize", "кот"], program: program, environment: ["RUDOLPH_MODEL": ""], folder: URL(filePath: "/"))
        #expect(run.status == 0, "\(run.messages)")
        let path = model.resolvingSymlinksInPath().path
        #expect(run.messages.hasPrefix("model: \(path) (bundled demonstration model"), "\(run.messages)")
    }

    /// What was installed with the program comes before what lies around, the nearest first; in each folder the first by name.
    @Test func theFirstOfSeveralBundledModelsIsTaken() throws {
        let (folder, program) = try installation()
        let places = [
            "share/rudolph/a.gguf", "share/rudolph/b.gguf", "bin/Models/demo/A.gguf", "bin/Models/demo/a.gguf", "Models/demo/a-10.gguf",
            "Models/demo/a-9.gguf", "elsewhere/Models/demo/a.gguf", "elsewhere/Models/demo/я.gguf",
        ]
        let models = try places.reversed().map { try addModel(folder, $0) }
        // No models, and before all of them by name.
        for place in ["share/rudolph/0.gguf.part", "share/rudolph/0.txt", "Models/demo/0"] { _ = try addModel(folder, place) }
        for (model, place) in zip(models.reversed(), places) {
            let run = try Command.run(["tokenize", "кот"], program: program, folder: folder.file("elsewhere"))
            let current = "elsewhere/"
            let path = place.hasPrefix(current) ? String(place.dropFirst(current.count)) : model.resolvingSymlinksInPath().path
            #expect(run.status == 0 && run.messages.hasPrefix("model: \(path) (bundled demonstration model"), "\(place): \(run.messages)")
            try FileManager.default.removeItem(at: model)
        }
        let none = try Command.run(["tokenize", "кот"], program: program, folder: folder.file("elsewhere"))
        #expect(none.status == 1 && none.messages.hasPrefix("Error: no model: "), "\(none.messages)")
    }

    @Test func theModelOfThePackageCaptionsAPicture() throws {
        let run = try Command.run(["caption", Project.sample("train_1f34e_noto.png"), "--greedy"], folder: Project.folder)
        #expect(run.status == 0 && run.text == "красное яблоко\n", "\(run.text)\(run.messages)")
        #expect(run.messages.contains("Models/demo/") && run.messages.contains("bundled demonstration model"), "\(run.messages)")
    }

    @Test func theBundledModelIsFoundFromTheCurrentFolder() throws {
        let (folder, program) = try installation()
        _ = try addModel(folder, "elsewhere/Models/demo/demo.gguf")
        let run = try Command.run(["tokenize", "кот"], program: program, folder: folder.file("elsewhere"))
        #expect(run.status == 0, "\(run.messages)")
        #expect(run.messages.hasPrefix("model: Models/demo/demo.gguf (bundled demonstration model"), "\(run.messages)")
        let lost = try Command.run(["tokenize", "кот"], program: program, folder: folder.file("bin"))
        #expect(lost.status == 1 && lost.messages.hasPrefix("Error: no model: "), "\(lost.messages)")
    }
}
