import Foundation
import ImageFiles
import Testing

/// The Fusion Brain Challenge's files.
@Suite(.serialized) struct AnswerTests {
    private func input(_ folder: TemporaryFolder) throws {
        try FileManager.default.createDirectory(at: folder.file("tasks/images"), withIntermediateDirectories: true)
        for name in ["train_1f34e_noto.png", "train_1f34c_openmoji.png"] {
            try FileManager.default.copyItem(atPath: Project.sample(name), toPath: folder.file("tasks/images/\(name)").path)
        }
        // Text questions and answers, mathematics, generation, captions, visual questions, text recognition.
        try Data(
            """
            {"10": [{"type": "text", "content": "Что написано на"}, {"type": "image", "content": "images/train_1f34c_openmoji.png"}, \
            {"type": "text", "content": "фото?"}],
             "2": [{"type": "text", "content": "Нарисуй кошку"}],
             "0": [{"type": "text", "content": "Кот спит. "}, {"type": "text", "content": "Кто спит?"}],
             "1": [{"type": "text", "content": "Сколько будет 2 + 2?"}],
             "3": [{"type": "image", "content": "images/train_1f34e_noto.png"}, {"type": "text", "content": "Опиши картинку"}],
             "4": [{"type": "image", "content": "images/train_1f34e_noto.png"}, {"type": "text", "content": "Какого цвета?"}]}
            """.utf8
        ).write(to: folder.file("tasks/input.json"))
    }

    private func predictions(_ url: URL) throws -> [String: [[String: String]]] {
        try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: [[String: String]]])
    }

    @Test func allKindsOfTaskAreAnswered() throws {
        let folder = try TemporaryFolder()
        try input(folder)
        let model = try Project.model()
        let arguments = ["answer", "tasks/input.json", "--greedy", "--model", model]
        let run = try Command.run(arguments + ["-o", "predictions.json", "--json"], folder: folder.url)
        #expect(run.status == 0, "\(run.messages)")
        #expect(run.messages == "predictions.json: 6 of 6 tasks answered, 0 of them before\n")
        let objects = try run.objects()
        #expect(objects.map { $0["id"] as? String } == ["0", "1", "2", "3", "4", "10"])
        let found = try predictions(folder.file("predictions.json"))
        for object in objects {
            let id = try #require(object["id"] as? String)
            let parts = try #require(found[id])
            #expect(parts.first == ["type": "text", "content": object["text"] as? String ?? ""])
            let isDrawn = ["0", "1", "2"].contains(id)
            #expect(parts.dropFirst() == (isDrawn ? [["type": "image", "content": "images/image_\(id).jpg"]] : []))
            if isDrawn {
                #expect((object["tokens"] as? [Int])?.count == 64)
                #expect(try Picture(path: folder.file("images/image_\(id).jpg").path).width == 64)
            }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("images").path).count == 3)

        // A task with a picture is asked as `rudolph ask` asks it.
        let asked = try Command.run(
            ["ask", Project.sample("train_1f34c_openmoji.png"), "Что написано на фото?", "--greedy", "--model", model])
        #expect(asked.text == (found["10"]?.first?["content"] ?? "") + "\n")

        try FileManager.default.createDirectory(at: folder.file("single"), withIntermediateDirectories: true)
        let single = try Command.run(arguments + ["-o", "single/predictions.json", "--batch", "1", "--threads", "1"], folder: folder.url)
        #expect(single.status == 0)
        for name in ["predictions.json", "images/image_0.jpg", "images/image_1.jpg", "images/image_2.jpg"] {
            #expect(try Data(contentsOf: folder.file("single/\(name)")) == Data(contentsOf: folder.file(name)), "\(name)")
        }
    }

    @Test func aRunGoesOnWhereItWas() throws {
        let folder = try TemporaryFolder()
        try input(folder)
        let arguments = ["answer", "tasks/input.json", "--seed", "9", "--batch", "2", "--model", try Project.model()]
        let whole = try Command.run(arguments + ["-o", "whole.json"], folder: folder.url)
        #expect(whole.status == 0, "\(whole.messages)")
        let all = try predictions(folder.file("whole.json"))

        // As an interrupted run leaves it; the answer that is there is kept, right or not.
        var some = all.filter { ["1", "10"].contains($0.key) }
        some["10"] = [["type": "text", "content": "свой ответ"]]
        try JSONSerialization.data(withJSONObject: some).write(to: folder.file("some.json"))
        for id in [0, 2] { try FileManager.default.removeItem(at: folder.file("images/image_\(id).jpg")) }
        let rest = try Command.run(arguments + ["-o", "some.json"], folder: folder.url)
        #expect(rest.messages == "some.json: 6 of 6 tasks answered, 2 of them before\n")
        var expected = all
        expected["10"] = some["10"]
        #expect(try predictions(folder.file("some.json")) == expected)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("images").path).count == 3)
    }

    /// What names a picture that is not there was being written when a run was killed.
    @Test func aKilledRunGoesOn() throws {
        let folder = try TemporaryFolder()
        try input(folder)
        let arguments = ["answer", "tasks/input.json", "-o", "x.json", "--seed", "9", "--model", try Project.model()]
        #expect(try Command.run(arguments, folder: folder.url).status == 0)
        let picture = folder.file("images/image_2.jpg")
        let (answers, bytes) = (try Data(contentsOf: folder.file("x.json")), try Data(contentsOf: picture))
        try FileManager.default.removeItem(at: picture)
        let rest = try Command.run(arguments, folder: folder.url)
        #expect(rest.status == 0 && rest.messages == "x.json: 6 of 6 tasks answered, 5 of them before\n", "\(rest.messages)")
        #expect(try Data(contentsOf: folder.file("x.json")) == answers)
        #expect(try Data(contentsOf: picture) == bytes)
    }

    /// Neither those of another file of tasks nor those that a task asks about; the model is not even looked for.
    @Test func drawnPicturesReplaceNoOthers() throws {
        let folder = try TemporaryFolder()
        try input(folder)
        let arguments = ["answer", "tasks/input.json", "--greedy", "--model"]
        #expect(try Command.run(arguments + [try Project.model(), "-o", "x.json"], folder: folder.url).status == 0)
        let second = try Command.run(arguments + ["/missing.gguf", "-o", "y.json"], folder: folder.url)
        #expect(second.status == 1 && second.output.isEmpty)
        let message = "Error: images/image_0.jpg: it is there already and not of y.json, and the picture drawn for task 0 would replace it; "
        #expect(second.messages == message + "expected -o in another folder, or the picture moved away\n", "\(second.messages)")
        #expect(!FileManager.default.fileExists(atPath: folder.file("y.json").path))
        // The first goes on, and has nothing to do.
        let again = try Command.run(arguments + [try Project.model(), "-o", "x.json"], folder: folder.url)
        #expect(again.messages == "x.json: 6 of 6 tasks answered, 6 of them before\n", "\(again.messages)")
    }

    @Test(arguments: ["tasks/x.json", "./tasks/x.json", "link/x.json"], [true, false])
    func drawnPicturesReplaceNoInput(output: String, isThere: Bool) throws {
        let folder = try TemporaryFolder()
        try input(folder)
        try FileManager.default.createSymbolicLink(atPath: folder.file("link").path, withDestinationPath: "tasks")
        let picture = folder.file("tasks/images/image_7.jpg")
        if isThere { try FileManager.default.copyItem(atPath: Project.sample("train_1f34e_noto.png"), toPath: picture.path) }
        let text = "{\"type\": \"text\", \"content\": \"Что это?\"}", image = "{\"type\": \"image\", \"content\": \"images/image_7.jpg\"}"
        try Data("{\"7\": [\(text)], \"8\": [\(text), \(image)]}".utf8).write(to: folder.file("tasks/both.json"))
        let run = try Command.run(["answer", "tasks/both.json", "-o", output, "--model", "/missing.gguf"], folder: folder.url)
        #expect(run.status == 1)
        // A picture that is not there is known by its name only.
        let isKnown = isThere || output.hasPrefix("tasks/")
        let message = "images/image_7.jpg: it is a picture of task 8, and the one drawn for task 7 would replace it; expected -o in another folder\n"
        #expect(run.messages.hasSuffix(message) == isKnown, "\(run.messages)")
        #expect(FileManager.default.fileExists(atPath: picture.path) == isThere)
    }

    /// Before any is drawn: the model is not even looked for.
    @Test(arguments: ["touch images", "ln -s /missing images"]) func picturesNeedAFolder(command: String) throws {
        let folder = try TemporaryFolder()
        try input(folder)
        let run = try Command.shell("\(command); \"$0\" answer tasks/input.json -o x.json --model /missing.gguf", folder: folder.url)
        #expect(run.status == 1 && run.messages == "Error: images: it is no folder; expected one\n", "\(run.messages)")
    }

    /// It would be read first, which for a pipe never ends.
    @Test func answersNeedARegularFile() throws {
        let folder = try TemporaryFolder()
        try input(folder)
        let run = try Command.shell(
            "mkfifo pipe; \"$0\" answer tasks/input.json -o pipe --model \"$1\"", [try Project.model()], folder: folder.url)
        #expect(run.status == 1 && run.messages.hasPrefix("Error: pipe: it is no regular file; expected one"), "\(run.messages)")
    }

    /// What stops a batch at its second answer does not take the first one away.
    @Test func aBatchThatIsInterruptedKeepsItsAnswers() throws {
        let folder = try TemporaryFolder()
        try input(folder)
        // Nobody takes the results: the first flush of a line fails.
        let run = try Command.shell(
            "\"$0\" answer tasks/input.json -o x.json --json --greedy --model \"$1\" > /dev/full", [try Project.model()], folder: folder.url)
        #expect(run.status == 1 && run.messages.contains("standard output: No space left on device"), "\(run.messages)")
        #expect(try predictions(folder.file("x.json")).count == 1)
    }

    @Test func badTasksDoNotStopTheOthers() throws {
        let folder = try TemporaryFolder()
        try input(folder)
        try Data(
            """
            {"0": [{"type": "image", "content": "images/train_1f34e_noto.png"}, {"type": "text", "content": "Что это?"}],
             "1": 5, "2": [{"type": "sound", "content": "x"}], "3": [{"type": "text", "content": " "}],
             "4": [{"type": "image", "content": "images/missing.png"}, {"type": "text", "content": "Что это?"}],
             "6": [{"type": "text", "content": "Что это?"}, {"type": "text"}],
             "8": [{"type": "image", "content": "a.png"}, {"type": "image", "content": "b.png"}, {"type": "text", "content": "Что это?"}],
             "\(String(repeating: "7", count: 201))": [{"type": "text", "content": "Нарисуй кошку"}],
             "../5": [{"type": "text", "content": "Нарисуй кошку"}]}
            """.utf8
        ).write(to: folder.file("tasks/bad.json"))
        let run = try Command.run(["answer", "tasks/bad.json", "-o", "x.json", "--greedy", "--model", try Project.model()], folder: folder.url)
        #expect(run.status == 1)
        for message in [
            "task 1: no list of parts", "task 2: a part of type \"sound\"", "task 3: no text", "tasks/images/missing.png: No such file",
            "task ../5: its id cannot be in a file name", "77: its id cannot be in a file name", "x.json: 1 of 9 tasks answered",
            "task 1: no list of parts: expected to decode", "task 6: no list of parts: at [1]: no \"content\";",
            "task 8: 2 pictures; expected one at most",
        ] {
            #expect(run.messages.contains(message), "\(message) is not in \(run.messages)")
        }
        #expect(try predictions(folder.file("x.json")).keys.sorted() == ["0"])
    }

    /// Of equal texts too, unless both are the most probable ones.
    @Test func eachTaskIsDrawnByItself() throws {
        let folder = try TemporaryFolder()
        let task = "[{\"type\": \"text\", \"content\": \"Нарисуй кошку\"}]"
        try Data("{\"0\": \(task), \"1\": \(task)}".utf8).write(to: folder.file("tasks.json"))
        for (name, options) in [("drawn", ["--seed", "1"]), ("greedy", ["--greedy"])] {
            try FileManager.default.createDirectory(at: folder.file(name), withIntermediateDirectories: true)
            let arguments = ["answer", "tasks.json", "-o", "\(name)/x.json", "--json", "--model", try Project.model()]
            let run = try Command.run(arguments + options, folder: folder.url)
            let tokens = try run.objects().compactMap { $0["tokens"] as? [Int] }
            #expect(run.status == 0 && tokens.count == 2, "\(run.messages)")
            #expect((tokens.first == tokens.last) == (name == "greedy"), "\(name)")
        }
    }

    @Test func filesThatAreNoTasksAreLeftAlone() throws {
        let folder = try TemporaryFolder()
        try input(folder)
        let model = try Project.model()
        for text in ["", "[1]", "{\"0\": ", "\u{0}"] {
            let run = try Command.run(["answer", "-", "-o", "x.json", "--model", model], input: Data(text.utf8), folder: folder.url)
            #expect(run.status == 1 && run.messages.contains("standard input: it is no JSON object of tasks"), "\(run.messages)")
        }
        let line = try Command.run(["answer", "-", "-o", "x.json", "--model", model], input: Data("{\"0\":\n [] x}".utf8), folder: folder.url)
        #expect(line.messages.contains("tasks: no JSON from line 2, column 5 on;"), "\(line.messages)")
        #expect(try folder.names() == ["tasks"])
        try Data("мои заметки".utf8).write(to: folder.file("notes.txt"))
        let run = try Command.run(["answer", "tasks/input.json", "-o", "notes.txt", "--model", model], folder: folder.url)
        #expect(run.status == 1 && run.messages.contains("notes.txt: it is no JSON object of tasks"), "\(run.messages)")
        #expect(try Data(contentsOf: folder.file("notes.txt")) == Data("мои заметки".utf8))
    }

    /// One of two tasks would never be asked, and nobody told which. The model is not even looked for.
    @Test(arguments: [
        ("{\"0\": TASK, \"1\": TASK, \"0\": []}", "line 1, column 108", "0", "line 1, column 2"),
        ("\u{feff}{\"кот\": TASK,\n  \"1\": {\"0\": 1, \"0\": 2},\n  \"\\u0031\": TASK}", "line 3, column 3", "1", "line 2, column 3"),
        ("{\"a\": 1,\n\n\"a\": 2, \"b\": 3, \"b\": 4,\n}", "line 3, column 1", "a", "line 1, column 2"),
    ])
    func idsAreThereOnce(text: String, place: String, id: String, first: String) throws {
        let folder = try TemporaryFolder()
        try input(folder)
        let bytes = Data(text.replacing("TASK", with: "[{\"type\": \"text\", \"content\": \"Нарисуй кошку\"}]").utf8)
        try bytes.write(to: folder.file("twice.json"))
        // Answers that are there already are as little thrown away.
        for arguments in [["twice.json", "-o", "x.json"], ["tasks/input.json", "-o", "twice.json"]] {
            let run = try Command.run(["answer"] + arguments + ["--model", "/missing.gguf"], folder: folder.url)
            let message = "Error: twice.json: \(place): task \(id) is there already, in \(first); expected each id once\n"
            #expect(run.status == 1 && run.output.isEmpty && run.messages == message, "\(run.messages)")
        }
        #expect(try folder.names() == ["tasks", "twice.json"])
        #expect(try Data(contentsOf: folder.file("twice.json")) == bytes)
    }

    /// Members of the same name elsewhere, and those of different tasks, are no tasks.
    @Test func onlyIdsAreThereOnce() throws {
        let folder = try TemporaryFolder()
        let part = "{\"type\": \"text\", \"content\": \"Кто спит?\", \"0\": {\"1\": [], \"1\": []}}"
        try Data("{\"0\": [\(part), \(part)], \"1\": [\(part)], \"01\": [\(part)]}".utf8).write(to: folder.file("tasks.json"))
        let run = try Command.run(["answer", "tasks.json", "-o", "x.json", "--greedy", "--model", try Project.model()], folder: folder.url)
        #expect(run.status == 0 && run.messages == "x.json: 3 of 3 tasks answered, 0 of them before\n", "\(run.messages)")
    }

    /// Answers go to a file of their own, under whatever name.
    @Test func theInputIsNotAnswersToItself() throws {
        let folder = try TemporaryFolder()
        try input(folder)
        let file = folder.file("tasks/input.json")
        let before = try Data(contentsOf: file)
        try FileManager.default.createSymbolicLink(atPath: folder.file("symbolic.json").path, withDestinationPath: "tasks/input.json")
        try FileManager.default.linkItem(at: file, to: folder.file("hard.json"))
        for output in ["tasks/input.json", "symbolic.json", "hard.json", "tasks/../tasks/input.json"] {
            for script in ["answer tasks/input.json", "answer - < tasks/input.json"] {
                let arguments = [output, try Project.model()]
                let run = try Command.shell("\"$0\" \(script) -o \"$1\" --model \"$2\"", arguments, folder: folder.url)
                let message = "Error: \(output): it is the input as well; expected another file for the answers\n"
                #expect(run.status == 1 && run.messages == message, "\(run.messages)")
            }
        }
        #expect(try Data(contentsOf: file) == before)
    }

    @Test func aPictureMayBeNamedLikeStandardInput() throws {
        let folder = try TemporaryFolder()
        try FileManager.default.copyItem(atPath: Project.sample("train_1f34e_noto.png"), toPath: folder.file("-").path)
        let tasks = "{\"0\": [{\"type\": \"image\", \"content\": \"-\"}, {\"type\": \"text\", \"content\": \"Что это?\"}]}"
        try Data(tasks.utf8).write(to: folder.file("tasks.json"))
        let arguments = ["--greedy", "--model", try Project.model()]
        let run = try Command.run(["answer", "tasks.json", "-o", "x.json"] + arguments, folder: folder.url)
        #expect(run.status == 0, "\(run.messages)")
        let asked = try Command.run(["ask", Project.sample("train_1f34e_noto.png"), "Что это?"] + arguments)
        #expect(try predictions(folder.file("x.json"))["0"]?.first?["content"].map { $0 + "\n" } == asked.text)
    }
}
