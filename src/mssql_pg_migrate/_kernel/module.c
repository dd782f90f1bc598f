/* The Python face of the transcoder: argument checks, the GIL, and buffers. No protocol in here. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "transcode.h"

/* --- Block: a chunk of COPY tuples that owns its memory ----------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    uint8_t *data;
    Py_ssize_t size;
} Block;

static void block_dealloc(Block *self)
{
    PyTypeObject *type = Py_TYPE(self);
    free(self->data);
    type->tp_free(self);
    Py_DECREF(type);
}

static int block_getbuffer(Block *self, Py_buffer *view, int flags)
{
    return PyBuffer_FillInfo(view, (PyObject *)self, self->data, self->size, 1, flags);
}

static PyType_Slot block_slots[] = {
    {Py_tp_doc, "Memory of a chunk; read it through a memoryview."},
    {Py_tp_dealloc, block_dealloc},
    {Py_bf_getbuffer, block_getbuffer},
    {0, NULL},
};

static PyType_Spec block_spec = {
    .name = "mssql_pg_migrate._kernel._native.Block",
    .basicsize = sizeof(Block),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = block_slots,
};

/* --- Transcoder ---------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    tc *core;
    PyTypeObject *block_type;
    size_t last_size; /* of the chunk before, a guess for the next one */
    int busy;         /* a thread is inside without the GIL */
} Transcoder;

static PyObject *transcoder_busy(void)
{
    PyErr_SetString(PyExc_RuntimeError, "this Transcoder is in use by another thread");
    return NULL;
}

#define ENTER(self)                                                                                                    \
    if ((self)->busy)                                                                                                  \
    return transcoder_busy()

/* Of a BCP column the fifth number is not a code page but whether it is nullable. */
static int read_specs(PyObject *columns, int bcp, tc_spec *specs, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_Fast_GET_ITEM(columns, i);
        unsigned type_id, length, precision, scale, code_page, encoding;
        int key;
        if (!PyTuple_Check(item)) {
            PyErr_SetString(PyExc_TypeError, "a column is a tuple of seven integers");
            return 0;
        }
        if (!PyArg_ParseTuple(item, "IIIIIIi", &type_id, &length, &precision, &scale, &code_page, &encoding, &key))
            return 0;
        if (type_id > 0xFF || precision > 0xFF || scale > 0xFF || code_page > 0xFFFF || encoding >= TC_ENCODINGS + (unsigned)bcp ||
            key < -1 || key > 0x7FFF) {
            PyErr_SetString(PyExc_ValueError, "a column's description is out of range");
            return 0;
        }
        specs[i] = (tc_spec){(uint8_t)type_id,   (uint8_t)precision, (uint8_t)scale, (uint8_t)encoding,
                             (uint16_t)code_page, (int16_t)key,       length,         code_page == 1};
    }
    return 1;
}

static PyObject *transcoder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"columns", "strip_nul", "input_size", "bcp", NULL};
    PyObject *argument, *columns;
    int strip_nul = 0, bcp = 0, at = -1;
    Py_ssize_t input_size = 1 << 18, count;
    const char *why = NULL;
    tc_spec *specs;
    tc *core = NULL;
    Transcoder *self;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$pnp", names, &argument, &strip_nul, &input_size, &bcp))
        return NULL;
    if (input_size < 0 || input_size > (1 << 30)) {
        PyErr_SetString(PyExc_ValueError, "input_size is out of range");
        return NULL;
    }
    columns = PySequence_Fast(argument, "columns must be a sequence");
    if (!columns)
        return NULL;
    count = PySequence_Fast_GET_SIZE(columns);
    specs = PyMem_Calloc((size_t)count + 1, sizeof *specs);
    if (!specs)
        PyErr_NoMemory();
    else if (read_specs(columns, bcp, specs, count)) {
        core = (bcp ? tc_new_bcp : tc_new)(specs, count > INT_MAX ? INT_MAX : (int)count, strip_nul,
                                           (size_t)input_size, &why, &at);
        if (!core) {
            PyObject *reason = Py_BuildValue("(si)", why, at);
            if (reason)
                PyErr_SetObject(PyExc_ValueError, reason);
            Py_XDECREF(reason);
        }
    }
    PyMem_Free(specs);
    Py_DECREF(columns);
    if (!core)
        return NULL;
    self = (Transcoder *)type->tp_alloc(type, 0);
    if (!self) {
        tc_free(core);
        return NULL;
    }
    self->core = core;
    self->block_type = PyType_GetModuleState(type) ? *(PyTypeObject **)PyType_GetModuleState(type) : NULL;
    Py_XINCREF(self->block_type);
    return (PyObject *)self;
}

static void transcoder_dealloc(Transcoder *self)
{
    PyTypeObject *type = Py_TYPE(self);
    tc_free(self->core);
    Py_XDECREF(self->block_type);
    type->tp_free(self);
    Py_DECREF(type);
}

/* The writable free part of the input buffer. Its memory stays where it is as long as the Transcoder lives, and a view
 * held too long only lets its holder scribble over bytes that are parsed defensively anyway. */
static int transcoder_getbuffer(Transcoder *self, Py_buffer *view, int flags)
{
    size_t room;
    uint8_t *start;
    if (self->busy) {
        PyErr_SetString(PyExc_BufferError, "this Transcoder is in use by another thread");
        return -1;
    }
    start = tc_input(self->core, &room);
    return PyBuffer_FillInfo(view, (PyObject *)self, start, (Py_ssize_t)room, 0, flags);
}

static PyObject *transcoder_start(Transcoder *self, PyObject *args)
{
    Py_buffer payload;
    int last, fits;
    ENTER(self);
    if (!PyArg_ParseTuple(args, "y*p", &payload, &last))
        return NULL;
    fits = tc_start(self->core, payload.buf, (size_t)payload.len, last);
    PyBuffer_Release(&payload);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "the payload does not fit the input buffer");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *transcoder_run(Transcoder *self, PyObject *args)
{
    Py_ssize_t received, max_rows, max_bytes;
    int status;
    ENTER(self);
    if (!PyArg_ParseTuple(args, "nnn", &received, &max_rows, &max_bytes))
        return NULL;
    if (received < 0 || max_rows < 1 || max_bytes < 1 || !tc_push(self->core, (size_t)received)) {
        PyErr_SetString(PyExc_ValueError, "an argument is out of range");
        return NULL;
    }
    self->busy = 1;
    Py_BEGIN_ALLOW_THREADS
    if (tc_rows(self->core) == 0 && self->last_size && tc_bytes(self->core) == 0) {
        /* As large as the last chunk was, so that this one does not grow step by step. */
        size_t size = self->last_size + self->last_size / 16;
        uint8_t *memory = malloc(size);
        if (memory && !tc_lend(self->core, memory, size))
            free(memory);
        self->last_size = 0;
    }
    status = tc_run(self->core, (uint64_t)max_rows, (size_t)max_bytes);
    Py_END_ALLOW_THREADS
    self->busy = 0;
    if (status == TC_MEMORY)
        return PyErr_NoMemory();
    return PyLong_FromLong(status);
}

static PyObject *transcoder_take(Transcoder *self, PyObject *unused)
{
    size_t size, rows;
    uint8_t *memory, *fitted;
    Block *block;
    PyObject *view;
    (void)unused;
    ENTER(self);
    rows = tc_rows(self->core);
    if (rows == 0 || !(memory = tc_take(self->core, &size)))
        Py_RETURN_NONE;
    self->last_size = size;
    fitted = realloc(memory, size ? size : 1);
    block = PyObject_New(Block, self->block_type);
    if (!block) {
        free(fitted ? fitted : memory);
        return NULL;
    }
    block->data = fitted ? fitted : memory;
    block->size = (Py_ssize_t)size;
    view = PyMemoryView_FromObject((PyObject *)block);
    Py_DECREF(block);
    return view ? Py_BuildValue("(Nn)", view, (Py_ssize_t)rows) : NULL;
}

static PyObject *transcoder_token(Transcoder *self, PyObject *unused)
{
    size_t size;
    const uint8_t *data;
    (void)unused;
    ENTER(self);
    data = tc_token(self->core, &size);
    return PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
}

static PyObject *transcoder_skip(Transcoder *self, PyObject *argument)
{
    Py_ssize_t size = PyLong_AsSsize_t(argument);
    ENTER(self);
    if (size < 0 && PyErr_Occurred())
        return NULL;
    if (size < 0 || !tc_skip(self->core, (size_t)size)) {
        PyErr_SetString(PyExc_ValueError, "there are not that many bytes, or a row stands there");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *transcoder_extend(Transcoder *self, PyObject *argument)
{
    Py_ssize_t received = PyLong_AsSsize_t(argument);
    ENTER(self);
    if (received < 0 && PyErr_Occurred())
        return NULL;
    if (received < 0 || !tc_push(self->core, (size_t)received)) {
        PyErr_SetString(PyExc_ValueError, "an argument is out of range");
        return NULL;
    }
    return PyLong_FromLong(tc_extend(self->core));
}

static PyObject *transcoder_discard(Transcoder *self, PyObject *args)
{
    Py_ssize_t received, keep;
    ENTER(self);
    if (!PyArg_ParseTuple(args, "nn", &received, &keep))
        return NULL;
    if (received < 0 || keep < 0 || !tc_push(self->core, (size_t)received)) {
        PyErr_SetString(PyExc_ValueError, "an argument is out of range");
        return NULL;
    }
    return PyLong_FromLong(tc_discard(self->core, (size_t)keep));
}

static PyObject *transcoder_again(Transcoder *self, PyObject *unused)
{
    (void)unused;
    ENTER(self);
    tc_again(self->core);
    Py_RETURN_NONE;
}

static PyObject *transcoder_finish(Transcoder *self, PyObject *unused)
{
    (void)unused;
    ENTER(self);
    tc_finish(self->core);
    Py_RETURN_NONE;
}

static PyObject *transcoder_marks(Transcoder *self, PyObject *unused)
{
    size_t count;
    const uint64_t *marks;
    PyObject *list;
    (void)unused;
    ENTER(self);
    marks = tc_marks(self->core, &count);
    list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *pair = Py_BuildValue("(Ki)", (unsigned long long)(marks[i] >> 16), (int)(marks[i] & 0xFFFF));
        if (pair)
            PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
        else
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *transcoder_keys(Transcoder *self, PyObject *unused)
{
    int count;
    PyObject *keys;
    (void)unused;
    ENTER(self);
    count = tc_key_count(self->core);
    keys = PyTuple_New(count);
    for (int i = 0; keys && i < count; i++) {
        const tc_key *key = tc_key_at(self->core, i);
        PyObject *value;
        if (key->state == 2) {
            value = PyBytes_FromStringAndSize((const char *)key->data, (Py_ssize_t)key->length);
            if (!value)
                Py_CLEAR(keys);
        } else {
            value = Py_None;
            Py_INCREF(value);
        }
        if (keys)
            PyTuple_SET_ITEM(keys, i, value);
        else
            Py_XDECREF(value);
    }
    return keys;
}

static PyObject *transcoder_fault(Transcoder *self, PyObject *unused)
{
    const tc_fault *fault;
    (void)unused;
    ENTER(self);
    fault = tc_last_fault(self->core);
    return Py_BuildValue("(iiK)", fault->code, fault->column, (unsigned long long)fault->detail);
}

static PyObject *transcoder_rows(Transcoder *self, void *closure)
{
    (void)closure;
    ENTER(self);
    return PyLong_FromUnsignedLongLong(tc_rows(self->core));
}

static PyObject *transcoder_size(Transcoder *self, void *closure)
{
    (void)closure;
    ENTER(self);
    return PyLong_FromSize_t(tc_bytes(self->core));
}

static PyMethodDef transcoder_methods[] = {
    {"start", (PyCFunction)transcoder_start, METH_VARARGS, "start(payload, last): begin inside a packet."},
    {"run", (PyCFunction)transcoder_run, METH_VARARGS,
     "run(received, max_rows, max_bytes): count the bytes just put into the buffer and transcode; a status."},
    {"take", (PyCFunction)transcoder_take, METH_NOARGS, "take(): (memoryview, rows) of what has gathered, or None."},
    {"token", (PyCFunction)transcoder_token, METH_NOARGS, "token(): the payload at the read position."},
    {"skip", (PyCFunction)transcoder_skip, METH_O, "skip(size): pass over bytes of a token."},
    {"extend", (PyCFunction)transcoder_extend, METH_O, "extend(received): join payload for a token; a status."},
    {"discard", (PyCFunction)transcoder_discard, METH_VARARGS,
     "discard(received, keep): drop the message but for its last bytes; a status."},
    {"again", (PyCFunction)transcoder_again, METH_NOARGS, "again(): expect another message."},
    {"finish", (PyCFunction)transcoder_finish, METH_NOARGS, "finish(): the BCP data file ends here; again() begins one."},
    {"marks", (PyCFunction)transcoder_marks, METH_NOARGS,
     "marks(): (offset, column) of the fields among those gathered that the caller replaces."},
    {"keys", (PyCFunction)transcoder_keys, METH_NOARGS, "keys(): raw values of the last row's key columns."},
    {"fault", (PyCFunction)transcoder_fault, METH_NOARGS, "fault(): (code, column, detail)."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef transcoder_getset[] = {
    {"rows", (getter)transcoder_rows, NULL, "Rows gathered.", NULL},
    {"size", (getter)transcoder_size, NULL, "Bytes gathered.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot transcoder_slots[] = {
    {Py_tp_doc, "Transcoder(columns, *, strip_nul=False, input_size=262144, bcp=False)"},
    {Py_tp_new, transcoder_new},
    {Py_tp_dealloc, transcoder_dealloc},
    {Py_tp_methods, transcoder_methods},
    {Py_tp_getset, transcoder_getset},
    {Py_bf_getbuffer, transcoder_getbuffer},
    {0, NULL},
};

static PyType_Spec transcoder_spec = {
    .name = "mssql_pg_migrate._kernel._native.Transcoder",
    .basicsize = sizeof(Transcoder),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = transcoder_slots,
};

/* --- module -------------------------------------------------------------------------------------------------------- */

static int add_constants(PyObject *module)
{
    static const struct {
        const char *name;
        int value;
    } constants[] = {
        {"INPUT", TC_INPUT},
        {"CHUNK", TC_CHUNK},
        {"TOKEN", TC_TOKEN},
        {"END", TC_END},
        {"DATA", TC_DATA},
        {"MALFORMED", TC_MALFORMED},
        {"F_PACKET_TYPE", TC_F_PACKET_TYPE},
        {"F_PACKET_LENGTH", TC_F_PACKET_LENGTH},
        {"F_TRUNCATED", TC_F_TRUNCATED},
        {"F_LENGTH", TC_F_LENGTH},
        {"F_VALUE", TC_F_VALUE},
        {"F_PLP_TOTAL", TC_F_PLP_TOTAL},
        {"F_ODD_TEXT", TC_F_ODD_TEXT},
        {"F_TOKEN_SIZE", TC_F_TOKEN_SIZE},
        {"F_NUL", TC_F_NUL},
        {"F_SURROGATE", TC_F_SURROGATE},
        {"F_UTF8", TC_F_UTF8},
        {"F_UNMAPPED", TC_F_UNMAPPED},
        {"F_TOO_LARGE", TC_F_TOO_LARGE},
        {"F_NULL", TC_F_NULL},
    };
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++)
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) < 0)
            return -1;
    return 0;
}

static int module_exec(PyObject *module)
{
    PyTypeObject **block_type = PyModule_GetState(module);
    PyObject *transcoder_type;
    int added;
    *block_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &block_spec, NULL);
    if (!*block_type)
        return -1;
    transcoder_type = PyType_FromModuleAndSpec(module, &transcoder_spec, NULL);
    if (!transcoder_type)
        return -1;
    added = PyModule_AddObjectRef(module, "Transcoder", transcoder_type);
    Py_DECREF(transcoder_type);
    return added < 0 ? -1 : add_constants(module);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    PyTypeObject **block_type = PyModule_GetState(module);
    Py_VISIT(*block_type);
    return 0;
}

static int module_clear(PyObject *module)
{
    PyTypeObject **block_type = PyModule_GetState(module);
    Py_CLEAR(*block_type);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_doc = "Rows of TDS and of BCP data files to COPY tuples.",
    .m_size = sizeof(PyTypeObject *),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&module_def); }
