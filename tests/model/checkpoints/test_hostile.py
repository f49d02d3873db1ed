"""Hostile and broken files: one clear error each, and nothing in them runs."""

import builtins
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.checkpoint_files import rewrite_zip, torch_saved, weights_of_layout, with_first_bytes

from voicemill.model.checkpoints import pickles, torchfile
from voicemill.model.checkpoints.checkpoint import plain, read
from voicemill.storage.errors import CheckpointError


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def zipped(data: bytes, path: Path, **storages: bytes) -> Path:
    """A file as torch.save lays it out, around any pickle."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", data)
        for key, content in storages.items():
            file.writestr(f"archive/data/{key.removeprefix('_')}", content)
    return path


def check_message(error: pytest.ExceptionInfo[CheckpointError], path: Path) -> None:
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 600


# -- pickles that run something


@pytest.mark.parametrize("where", ["config", "info", "weight", "key"])
def test_os_system_does_not_run(where: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "it_ran", tmp_path / "voice.pth"
    call = Call(os.system, f"touch {marker}")
    value: dict[Any, Any] = {"weight": dict(weights_of_layout("s1")), "config": {}, "info": ""}
    if where == "weight":
        value["weight"]["model.bert_proj.bias"] = call
    elif where == "key":
        value[("deep", call)] = 1
    else:
        value[where] = call
    torch.save(value, path)
    with pytest.raises(CheckpointError, match=r"names '(posix|nt|os)\.system'") as error:
        read(path)
    check_message(error, path)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # the file is a real weapon: the usual loader runs it
    assert marker.exists()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(eval, ("1",)), (exec, ("1",)), (getattr, (1, "x")), (__import__, ("os",)), (open, ("x",)), (builtins.dict, ())],
)
def test_builtins_are_refused(function: Callable[..., Any], arguments: tuple[Any, ...], tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"weight": {}, "config": Call(function, *arguments)}, path)
    with pytest.raises(CheckpointError, match=r"names '(builtins|io|_io|__builtin__)\.\w+'.*Nothing"):
        read(path)


OS_SYSTEM = {
    "GLOBAL and REDUCE": b"cos\nsystem\n(S'touch {}'\ntR.",
    "INST": b"(S'touch {}'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch {}'\no.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93(S'touch {}'\ntR.",
    "names spelt together": b"cos.path\nos.system\n(S'touch {}'\ntR.",
    "through an attribute of what is allowed": b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n.",
    "copyreg extension": b"\x82\x01.",
    "PERSID": b"Pos.system\n.",
}


@pytest.mark.parametrize("name", OS_SYSTEM)
@pytest.mark.parametrize("protocol", [0, 2])
def test_every_way_to_call(name: str, protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "it_ran"
    data = OS_SYSTEM[name].replace(b"{}", str(marker).encode())
    with pytest.raises(CheckpointError):
        read(zipped((b"\x80\x02" if protocol else b"") + data, tmp_path / "x.pth"))
    with pytest.raises(CheckpointError):
        pickles.read(data, "x")
    assert not marker.exists()


def test_the_plain_pickle_that_the_ways_above_are_is_one_that_runs(tmp_path: Path) -> None:
    """Otherwise the test above could not fail."""
    for name in ("GLOBAL and REDUCE", "INST", "OBJ", "STACK_GLOBAL"):
        marker = tmp_path / name.replace(" ", "_")
        assert pickle.loads(OS_SYSTEM[name].replace(b"{}", str(marker).encode())) == 0
        assert marker.exists()


def test_attributes_of_what_is_allowed_cannot_be_set() -> None:
    """BUILD on a constructor would change it for every file read afterwards."""
    for target in (b"ctorch._utils\n_rebuild_tensor_v2\n", b"cutils\nHParams\n", b"ccollections\nOrderedDict\n"):
        with pytest.raises(CheckpointError, match="attributes for a Name"):
            pickles.read(b"\x80\x02" + target + b"(N}S'__defaults__'\nNstb.", "x")
        with pytest.raises(CheckpointError, match="attributes for a Name"):
            pickles.read(b"\x80\x02" + target + b"}S'x'\nI1\nsb.", "x")


# -- pickles that take for ever


def nested(levels: int) -> bytes:
    """(((), ()), ((), ())) ...: a few bytes a level, twice the parts each."""
    return b"\x80\x02)" + b"q\x00h\x00\x86" * levels


@pytest.mark.timeout(20)
def test_nested_tuples_are_neither_hashed_nor_printed() -> None:
    value = nested(200)
    for data in (
        b"\x80\x02}" + value[2:] + b"I1\ns.",
        value + b"\x8c\x01x\x93.",
        b"\x80\x02\x8c\x01x" + value[2:] + b"\x93.",
    ):
        with pytest.raises(CheckpointError):
            pickles.read(data, "x")
    with pytest.raises(CheckpointError, match="pickle is damaged"):
        pickles.read(b"\x80\x02(S'storage'\nctorch\nHalfStorage\n" + value[2:] + b"S'cpu'\nI4\ntQ.", "x")


@pytest.mark.timeout(20)
def test_a_config_that_grows_or_holds_itself(tmp_path: Path) -> None:
    value: Any = pickles.read(nested(60) + b".", "x")
    with pytest.raises(CheckpointError, match="parts or 20 levels"):
        plain({"a": value}, tmp_path)
    wide: list[Any] = [0] * 1000
    with pytest.raises(CheckpointError, match="parts or 20 levels"):
        plain([[wide] * 1000], tmp_path)
    loop: dict[str, Any] = {}
    loop["self"] = loop
    torch.save({"weight": weights_of_layout("s1"), "config": loop}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="parts or 20 levels"):
        read(tmp_path / "x.pth")


@pytest.mark.timeout(20)
def test_huge_numbers_are_not_printed(tmp_path: Path) -> None:
    huge = 1 << 100_000
    for key in ("info", "iteration", "config", huge):
        value = {"weight": weights_of_layout("s1"), "config": {}, key: {"a": huge} if key == "config" else huge}
        torch.save(value, tmp_path / "x.pth")
        if key in ("info", "iteration"):
            assert read(tmp_path / "x.pth").info in ("a int", "iteration a int")
        elif key == "config":
            with pytest.raises(CheckpointError, match="in the config"):
                read(tmp_path / "x.pth")
        else:
            assert read(tmp_path / "x.pth").kind == "s1"
    (tmp_path / "y.pth").write_bytes(torch_saved({huge: 1}))
    with pytest.raises(CheckpointError, match="it has a int"):
        read(tmp_path / "y.pth")


def test_a_pickle_that_is_too_long(tmp_path: Path) -> None:
    path = zipped(b"\x80\x02" + b"N0" * (pickles.LONGEST // 2) + b"N.", tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="bytes: no checkpoint has"):
        read(path)


# -- tensors and storages that are not what they say


def tensor_pickle(count: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], key: str = "0") -> bytes:
    """{"weight": {"a": a tensor}} as torch pickles it, with any numbers."""

    def many(numbers: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"I%d\n" % number for number in numbers) + b"t"

    storage = b"(S'storage'\nctorch\nHalfStorage\nV" + key.encode("raw_unicode_escape") + b"\nS'cpu'\nI%d\ntQ" % count
    tensor = storage + b"I%d\n" % offset + many(shape) + many(strides) + b"I00\n}"
    return b"\x80\x02}S'weight'\n}S'a'\nctorch._utils\n_rebuild_tensor_v2\n(" + tensor + b"tRss."


@pytest.mark.parametrize(
    ("count", "offset", "shape", "strides"),
    [
        (4, 0, (5,), (1,)),
        (4, 1, (4,), (1,)),
        (4, 0, (2, 2), (3, 1)),
        (4, 0, (2**40,), (0,)),  # a terabyte out of two bytes
        (4, -1, (2,), (1,)),
        (4, 0, (-2,), (1,)),
        (4, 0, (2,), (-1,)),
        (4, 0, (2, 2), (1,)),
        (4, 0, (1,) * 9, (1,) * 9),
        (2**62, 0, (4,), (1,)),
        (-4, 0, (4,), (1,)),
        (4, 0, (2**5000,), (1,)),
    ],
)
def test_tensors_outside_of_their_storage(
    count: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], tmp_path: Path
) -> None:
    path = zipped(tensor_pickle(count, offset, shape, strides), tmp_path / "x.pth", _0=bytes(8))
    with pytest.raises(CheckpointError, match="pickle is damaged"), torchfile.open_torchfile(path):
        pass


@pytest.mark.parametrize(("count", "size"), [(4, 6), (4, 10), (2**50, 8), (0, 8)])
def test_storages_of_another_length(count: int, size: int, tmp_path: Path) -> None:
    path = zipped(tensor_pickle(count, 0, (0,), (1,)), tmp_path / "x.pth", _0=bytes(size))
    with (
        torchfile.open_torchfile(path) as file,
        pytest.raises(CheckpointError, match=f"has {size} bytes, {2 * count} are"),
    ):
        file.tensor(file.value["weight"]["a"])


def test_a_tensor_that_is_right_is_read(tmp_path: Path) -> None:
    data = struct.pack("<4e", 1, 2, 3, 4)
    path = zipped(tensor_pickle(4, 1, (3,), (1,)), tmp_path / "x.pth", _0=data)
    with torchfile.open_torchfile(path) as file:
        assert file.tensor(file.value["weight"]["a"]).tolist() == [2.0, 3.0, 4.0]


@pytest.mark.parametrize("key", ["../../secret", "/etc/passwd", "a", "", "٣"])
def test_storages_are_numbered(key: str, tmp_path: Path) -> None:
    path = zipped(tensor_pickle(4, 0, (4,), (1,), key), tmp_path / "x.pth", _0=bytes(8))
    with pytest.raises(CheckpointError, match="key is no number"), torchfile.open_torchfile(path):
        pass


def test_a_storage_that_is_missing(tmp_path: Path) -> None:
    path = zipped(tensor_pickle(4, 0, (4,), (1,)), tmp_path / "x.pth")
    with torchfile.open_torchfile(path) as file, pytest.raises(CheckpointError, match="data/0 is missing"):
        file.tensor(file.value["weight"]["a"])


# -- zips


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "archive/../../evil", "..\\evil", "C:/evil"])
def test_names_that_lead_out(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "x.pth"
    path.write_bytes(torch_saved({"weight": weights_of_layout("s1")}))
    rewrite_zip(path, lambda entries: entries.update({name: b"evil"}))
    with pytest.raises(CheckpointError, match="leads out of the file"):
        read(path)
    assert sorted(item.name for item in tmp_path.rglob("*")) == ["in", "x.pth"]


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_saved({"weight": {}}))
    rewrite_zip(path, lambda entries: entries.update({"archive/data/0": bytes(50_000_000)}), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match="compressed"):
        read(path)


def test_entries_that_claim_more_than_the_file_holds(tmp_path: Path) -> None:
    """The size in the directory changed by hand, and one run of bytes that many entries point to."""
    path = tmp_path / "x.pth"
    path.write_bytes(torch_saved({"weight": weights_of_layout("s2_discriminator")}))
    data, record = bytearray(path.read_bytes()), 0
    while (record := data.find(b"PK\1\2", record)) >= 0:
        data[record + 20 : record + 28] = struct.pack("<II", 2**31 - 1, 2**31 - 1)
        record += 4
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"claim|damaged"):
        read(path)


def test_two_entries_of_one_name(tmp_path: Path) -> None:
    path = zipped(b"N.", tmp_path / "x.pth")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr("archive/data.pkl", b"}.")
    with pytest.raises(CheckpointError, match="same name"):
        read(path)


def test_a_zip_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as file:
        file.writestr("word/document.xml", "<x/>")
    with pytest.raises(CheckpointError, match=r"not one of torch\.save"):
        read(tmp_path / "x.pth")


def test_the_other_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"weight": {}}, path)
    rewrite_zip(path, lambda entries: entries.update({"x/byteorder": b"big"}))
    with pytest.raises(CheckpointError, match="byte order"):
        read(path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file as torch saves it, with several sorts of values."""
    path = tmp_path_factory.mktemp("small") / "x.pth"
    weights = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4).half()}
    torch.save({"weight": weights, "config": {"a": [1, 2.5, None, "x"], "b": (True, 2**40)}, "info": "8"}, path)
    return path


def opened_fully(data: bytes, path: Path) -> bool:
    """Whether a file is read to its last tensor; the only other way out is a CheckpointError."""
    path.write_bytes(data)
    try:
        with torchfile.open_torchfile(path) as file:
            for tensor in file.value["weight"].values() if isinstance(file.value, dict) else ():
                file.tensor(tensor)
    except CheckpointError:
        return False
    except (KeyError, AttributeError):  # the changed value is none of ours; `read` looks before it takes
        return False
    return True


def test_cut_off_anywhere(small: Path, tmp_path: Path) -> None:
    data = small.read_bytes()
    assert opened_fully(data, tmp_path / "x")
    read_anyway = [n for n in range(0, len(data), 7) if opened_fully(data[:n], tmp_path / "x")]
    assert read_anyway == []


@given(st.data())
def test_any_byte_changed(small: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(small.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    opened_fully(bytes(content), small.parent / "changed")


@given(st.binary(max_size=200))
def test_any_bytes_as_a_pickle(data: bytes) -> None:
    for prefix in (
        b"",
        b"\x80\x02}(",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(",
        b"\x80\x02cutils\nHParams\n)\x81",
    ):
        with suppress(CheckpointError):
            pickles.read(prefix + data + b".", "file")


def test_a_changed_byte_of_a_weight_is_noticed(small: Path, tmp_path: Path) -> None:
    data = bytearray(small.read_bytes())
    at = data.find(struct.pack("<6f", *range(6)))
    data[at + 8] ^= 1
    (tmp_path / "x").write_bytes(data)
    with torchfile.open_torchfile(tmp_path / "x") as file, pytest.raises(CheckpointError, match="CRC"):
        file.tensor(file.value["weight"]["a"])


# -- files that are no checkpoints


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "0 bytes"),
        (b"<!DOCTYPE html><html>Not found</html>", "text, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "text, not weights"),
        (b"hello\n", "text, not weights"),
        (b"\x7fELF\x02\x01\x01\x00", "no checkpoint"),
        (b"PK", "damaged or cut off"),
        (b"PK\x03\x04" + bytes(100), "damaged or cut off"),
        (b"05", "damaged or cut off"),
        (b"\x80\x02}q\x00.", "before 1.6"),
        (bytes(100), "no checkpoint"),
    ],
)
def test_files_that_are_no_checkpoint_are_refused(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=said) as error:
        read(path)
    check_message(error, path)


def test_the_format_of_torch_before_1_6(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save({"weight": {}}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"before 1\.6.*save it again"):
        read(path)


@pytest.mark.parametrize("name", ["nowhere.pth", "."])
def test_paths_that_are_no_file_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a file"):
        read(tmp_path / name)


# -- files that are something else


def renamed(weights: dict[str, torch.Tensor], *keys: str) -> dict[str, torch.Tensor]:
    return {**weights, **{key: torch.zeros(2) for key in keys}}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1], "a list, not a dictionary"),
        ({"net": 1, "steps": 2}, "it has net, steps"),
        ({"weight": {}}, "its 0 tensors are nothing"),
        ({"weight": {"conv_pre.weight": torch.zeros(2)}}, "its 1 tensors are conv_pre.weight"),
        ({"weight": {"a": 1}}, "'a' among its weights is a int"),
        ({"weight": {1: torch.zeros(1)}}, "'1' among its weights"),
        ({"weight": renamed({}, "cfm.t.weight", "enc_p.text_embedding.weight")}, "s2 of v3 or v4; supported are v2,"),
        ({"weight": renamed({}, "cfm.to_q.lora_A.default.weight")}, "a LoRA of v3 or v4; supported"),
        ({"weight": {}, "lora_rank": 32}, "a LoRA of v3 or v4; supported"),
        ({"weight": {"enc_p.text_embedding.weight": torch.zeros(322, 192)}}, r"the s2 of v1 \(322 phones\)"),
        ({"weight": {"model.ar_text_embedding.word_embeddings.weight": torch.zeros(512, 512)}}, "the s1 of v1"),
        ({"weight": weights_of_layout("s2_discriminator"), "config": 7}, "its config is a int"),
    ],
)
def test_pickles_without_a_model_are_refused(value: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save(value, path)
    with pytest.raises(CheckpointError, match=said) as error:
        read(path)
    check_message(error, path)


@pytest.mark.parametrize(("digits", "said"), [(b"03", "a LoRA of v3"), (b"04", "a LoRA of v4"), (b"06", "marked as")])
def test_markers_of_other_versions(digits: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"weight": weights_of_layout("s2", "v2Pro"), "config": {}, "info": ""}, path)
    with pytest.raises(CheckpointError, match=said):
        read(with_first_bytes(path, digits))


def test_missing_unknown_and_misshapen_tensors(tmp_path: Path) -> None:
    path, weights = tmp_path / "x.pth", weights_of_layout("s2")
    for i in range(5):
        del weights[f"enc_p.encoder_text.attn_layers.{i}.conv_k.bias"]
    weights["dec.extra.weight"] = torch.zeros(2)
    weights["flow.flows.0.pre.weight"] = torch.zeros(192, 96, 3)
    torch.save({"weight": weights}, path)
    with pytest.raises(CheckpointError) as error:
        read(path)
    key = "enc_p.encoder_text.attn_layers"
    assert str(error.value) == (
        f"{path}: not the s2 of v2: 5 missing: {key}.0.conv_k.bias, {key}.1.conv_k.bias, {key}.2.conv_k.bias ...; "
        "1 unknown: dec.extra.weight; 1 of another shape: flow.flows.0.pre.weight [192, 96, 3] instead of [192, 96, 1]"
    )


def test_half_a_posterior_encoder_is_an_error(tmp_path: Path) -> None:
    weights = weights_of_layout("s2")
    del weights["enc_q.proj.bias"]
    torch.save({"weight": weights}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"1 missing: enc_q\.proj\.bias"):
        read(tmp_path / "x.pth")


def test_weights_of_integers(tmp_path: Path) -> None:
    weights = weights_of_layout("s1")
    weights["model.bert_proj.bias"] = torch.zeros(512, dtype=torch.int64)
    torch.save({"weight": weights}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"bert_proj\.bias and 0 more hold integers"):
        read(tmp_path / "x.pth")
